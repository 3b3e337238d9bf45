// Raw tensors: little-endian, C order, as ONNX Runtime and the golden files have them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace pocketgan {

enum class DType { float32, float16, uint8, int32, int64 };

// Throws Problem where there is no such type.
DType dtype_of(const std::string& name);
std::size_t item_bytes(DType dtype);

struct Tensor {
    DType dtype = DType::float32;
    std::vector<std::int64_t> shape;
    std::vector<unsigned char> bytes;

    Tensor() = default;
    Tensor(DType dtype, std::vector<std::int64_t> shape);

    std::size_t count() const;
    template <typename Number>
    Number* as() {
        return reinterpret_cast<Number*>(bytes.data());
    }
    template <typename Number>
    const Number* as() const {
        return reinterpret_cast<const Number*>(bytes.data());
    }
    double at(std::size_t index) const;
    // The same numbers in another type, cut to whole ones as C does.
    Tensor to(DType other) const;
};

// A golden tensor's file. Throws Problem where it has another size.
Tensor read_tensor(const std::filesystem::path& path, DType dtype, std::vector<std::int64_t> shape);

std::string shape_text(const std::vector<std::int64_t>& shape);

}  // namespace pocketgan
