#include "runtime.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace pocketgan {
namespace {

// The oldest C API that has all that is called here (ONNX Runtime 1.17). Newer ones only add to the end of the table,
// so that every later library gives it.
constexpr std::uint32_t api_version = 17;

// Both 0 where it is no version.
std::pair<int, int> release(const std::string& version) {
    std::pair<int, int> numbers{0, 0};
    if (std::sscanf(version.c_str(), "%9d.%9d", &numbers.first, &numbers.second) < 2) return {0, 0};
    return numbers;
}

}  // namespace

void Runtime::CloseLibrary::operator()(void*) const {
    // Never closed: ONNX Runtime's threads and exit handlers would run in memory that is gone.
}

Runtime::Runtime(const std::filesystem::path& library) : library_(dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (!library_) {
        throw Problem(library.string() + ": ONNX Runtime cannot be opened: " + dlerror() +
                      "; put libonnxruntime.so beside the runner or name it with --runtime");
    }
    const auto get_base = reinterpret_cast<const OrtApiBase* (*)()>(symbol("OrtGetApiBase"));
    if (get_base == nullptr) throw Problem(library.string() + ": is no ONNX Runtime (it has no OrtGetApiBase)");
    version_ = get_base()->GetVersionString();
    api_ = get_base()->GetApi(api_version);
    if (api_ == nullptr) {
        throw Problem(library.string() + ": ONNX Runtime " + version_ + " is too old: 1." +
                      std::to_string(api_version) + " or newer is needed");
    }
    OrtEnv* environment = nullptr;
    check(api_->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "pocketgan", &environment));
    environment_ = {environment, api_->ReleaseEnv};
}

std::vector<std::string> Runtime::providers() const {
    char** names = nullptr;
    int count = 0;
    check(api_->GetAvailableProviders(&names, &count));
    std::vector<std::string> providers(names, names + count);
    check(api_->ReleaseAvailableProviders(names, count));
    return providers;
}

bool Runtime::older_than(const std::string& version) const { return release(version_) < release(version); }

void Runtime::check(OrtStatus* status) const {
    if (status == nullptr) return;
    std::string message = api_->GetErrorMessage(status);
    api_->ReleaseStatus(status);
    message.resize(std::min(message.find('\n'), message.size()));
    throw Refused(message.substr(0, message.find_last_not_of(' ') + 1));
}

void* Runtime::symbol(const char* name) const { return dlsym(library_.get(), name); }

}  // namespace pocketgan
