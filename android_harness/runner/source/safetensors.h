// The `.safetensors` of a patch (core/bundle/safetensors.py).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "json.h"

namespace pocketgan {

struct FactorTensor {
    std::string type;  // F32, F16 or U8
    std::vector<std::int64_t> shape;
    const char* data;
    std::size_t size;  // in bytes

    double at(std::size_t index) const;
};

class Safetensors {
 public:
    // Throws Problem, as the end of a sentence about the file.
    explicit Safetensors(const std::filesystem::path& path);

    // The text of that key in the metadata; "null" where there is none.
    std::string metadata(const std::string& key) const;
    // Throws Problem: there is no such tensor, or it is not described as a tensor is.
    FactorTensor tensor(const std::string& name) const;

 private:
    std::string content_;
    std::size_t start_;
    json::Value header_;
};

}  // namespace pocketgan
