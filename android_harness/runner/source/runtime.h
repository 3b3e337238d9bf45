// ONNX Runtime, opened while running: linking would pin the exact version of the library.
#pragma once

#include <onnxruntime_c_api.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "problem.h"

namespace pocketgan {

// What ONNX Runtime says no to, in its words.
struct Refused : Problem {
    using Problem::Problem;
};

class Runtime {
 public:
    // Throws Problem: there is no such library, or it is too old.
    explicit Runtime(const std::filesystem::path& library);

    const OrtApi& api() const { return *api_; }
    OrtEnv* environment() const { return environment_.get(); }
    const std::string& version() const { return version_; }
    std::vector<std::string> providers() const;
    // Whether its release (the first two numbers) came before that of `version`.
    bool older_than(const std::string& version) const;

    // Throws Refused with the first line of what a call came back with.
    void check(OrtStatus* status) const;
    // A function that some builds of the library have; null where this one has not.
    void* symbol(const char* name) const;

 private:
    struct CloseLibrary {
        void operator()(void* library) const;
    };

    std::unique_ptr<void, CloseLibrary> library_;
    const OrtApi* api_ = nullptr;
    std::string version_;
    std::unique_ptr<OrtEnv, void (*)(OrtEnv*)> environment_{nullptr, nullptr};
};

}  // namespace pocketgan
