// From pictures to tensors and back, as an app does it around every inference (bench/runners/picture.py).
// Pictures are uint8 HWC RGB.
#pragma once

#include <cstdint>
#include <vector>

#include "manifest.h"
#include "tensor.h"

namespace pocketgan {

// Whether an app converts pixels itself: a float32 NCHW RGB tensor. Pixel entries take the picture as it is.
bool needs_conversion(const TensorSpec& spec);

// A picture of the tensor's size into a batch of one, float32 NCHW, black and white at the ends of its value range.
void to_tensor(const std::vector<std::uint8_t>& picture, const TensorSpec& spec, Tensor& tensor);

// The inverse; values outside of black and white are clipped.
void to_picture(const Tensor& tensor, const TensorSpec& spec, std::vector<std::uint8_t>& picture);

}  // namespace pocketgan
