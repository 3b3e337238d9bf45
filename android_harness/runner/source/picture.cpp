#include "picture.h"

namespace pocketgan {
namespace {

constexpr std::size_t channels = 3;

std::pair<double, double> range_of(const TensorSpec& spec) { return spec.value_range.value_or(std::pair(0.0, 1.0)); }

}  // namespace

bool needs_conversion(const TensorSpec& spec) {
    // A batch of one of three planes: what is declared so and is not has no picture in it.
    const bool shaped = spec.shape.size() == 4 && spec.shape[0] == 1 && spec.shape[1] == channels;
    return spec.rgb && spec.layout == "NCHW" && spec.dtype == "float32" && shaped;
}

// The steps are those of the Python runner, each rounded to float32; the build keeps the compiler from fusing them.

void to_tensor(const std::vector<std::uint8_t>& picture, const TensorSpec& spec, Tensor& tensor) {
    const auto [low, high] = range_of(spec);
    const auto step = static_cast<float>((high - low) / 255);
    const auto black = static_cast<float>(low);
    const std::size_t pixels = picture.size() / channels;
    const std::uint8_t* from = picture.data();
    for (std::size_t channel = 0; channel < channels; ++channel) {
        float* to = tensor.as<float>() + channel * pixels;
        for (std::size_t i = 0; i < pixels; ++i) {
            const float scaled = static_cast<float>(from[i * channels + channel]) * step;
            to[i] = scaled + black;
        }
    }
}

void to_picture(const Tensor& tensor, const TensorSpec& spec, std::vector<std::uint8_t>& picture) {
    const auto [low, high] = range_of(spec);
    const auto scale = static_cast<float>(255 / (high - low));
    const auto black = static_cast<float>(low);
    const std::size_t pixels = tensor.count() / channels;
    picture.resize(pixels * channels);
    for (std::size_t channel = 0; channel < channels; ++channel) {
        const float* from = tensor.as<float>() + channel * pixels;
        for (std::size_t i = 0; i < pixels; ++i) {
            const float moved = from[i] - black;
            const float scaled = moved * scale;
            const float rounded = scaled + 0.5F;
            picture[i * channels + channel] =
                static_cast<std::uint8_t>(rounded > 255.0F ? 255.0F : (rounded > 0.0F ? rounded : 0.0F));
        }
    }
}

}  // namespace pocketgan
