// A model of a Job that was loaded and checked, with what its frames need.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "bundle.h"
#include "job.h"
#include "model.h"
#include "parity.h"
#include "timing.h"

namespace pocketgan {

// What a Job says, put together with its bundle: a component, and golden tensors of its contract.
struct Plan {
    std::filesystem::path file;
    const Component* component;
    std::string runtime_version;  // that the bundle names
    std::vector<Tensor> inputs;  // golden, in the contract's type
    std::vector<Tensor> golden;
    std::vector<ValueRange> ranges;
    double floor_db;
    std::int64_t repeat;
};

// The file by which the Job's component draws its concept, looked at before the runtime opens it: what a patch makes of
// the bundle's file lies beside the bundles. The files of the bundle are verified before.
// Throws Problem: there is no such concept, its patch does not fit, or the model names files that are not its own.
std::filesystem::path model_file(const Bundle& bundle, const Job& job);

// Throws Problem where the bundle lacks something.
Plan plan_model(const Bundle& bundle, const Job& job);

class Loaded {
 public:
    Loaded(const Model& model, Plan& plan, const std::vector<Tensor>& outputs, Clock& clock);

    // One edit: picture to tensor, inference, tensor to picture. Reading the output belongs to it.
    Frame frame(std::int64_t round);

    // The parts of a frame, for frames that overlap; there are two slots.
    void convert(std::size_t slot);
    void infer(std::size_t slot);
    void finish(std::size_t slot);

    // Overwrites the outputs, so that those of earlier frames cannot stand for those of the last one.
    void forget_outputs();
    // Of the output of the last frame with the golden one.
    Agreement agreement_now() const;

    Clock& clock() { return clock_; }

 private:
    const Model& model_;
    const Plan& plan_;
    Clock& clock_;
    std::unique_ptr<Slot> slots_[2];
    std::size_t last_slot_ = 0;
    std::optional<std::size_t> picture_input_, picture_output_;
    std::vector<std::uint8_t> picture_, shown_;
};

}  // namespace pocketgan
