// A model file loaded by ONNX Runtime.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "manifest.h"
#include "runtime.h"
#include "tensor.h"

namespace pocketgan {

struct LoadOptions {
    std::int64_t threads = 1;
    std::string provider;  // as Job.provider
    std::string profile;   // where ONNX Runtime's profile goes; none where empty
};

// Tensors that the runtime reads and writes in place, frame after frame.
class Slot {
 public:
    std::vector<Tensor> inputs;
    std::vector<Tensor> outputs;

 private:
    friend class Model;
    using Value = std::unique_ptr<OrtValue, void (*)(OrtValue*)>;
    std::vector<Value> values_;
    std::vector<const OrtValue*> bound_inputs_;
    std::vector<OrtValue*> bound_outputs_;
};

class Model {
 public:
    // Throws Refused, or Problem where this library has no such provider.
    Model(const Runtime& runtime, const std::filesystem::path& file, const Component& component,
          const LoadOptions& options);

    // One run whose outputs the runtime allocates. Throws Refused.
    std::vector<Tensor> run_once(std::vector<Tensor>& inputs) const;

    // A slot with these inputs, and room for outputs like those.
    std::unique_ptr<Slot> bind(std::vector<Tensor> inputs, const std::vector<Tensor>& outputs) const;

    // One run in place: when it returns, the outputs are in memory of our own.
    void run(Slot& slot) const;

    // Path of the profile, which is written then.
    std::filesystem::path end_profile() const;

 private:
    Slot::Value wrap(Tensor& tensor) const;

    const Runtime& runtime_;
    std::unique_ptr<OrtSession, void (*)(OrtSession*)> session_{nullptr, nullptr};
    std::unique_ptr<OrtMemoryInfo, void (*)(OrtMemoryInfo*)> memory_{nullptr, nullptr};
    std::vector<std::string> names_;
    std::vector<const char*> input_names_;
    std::vector<const char*> output_names_;
};

}  // namespace pocketgan
