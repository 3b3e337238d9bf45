#include "half.h"

#include <cmath>

namespace pocketgan {

double from_half(std::uint16_t half) {
    const int exponent = (half >> 10) & 31;
    const int mantissa = half & 1023;
    const double sign = (half & 0x8000) != 0 ? -1 : 1;
    if (exponent == 31) return mantissa != 0 ? NAN : sign * INFINITY;
    return sign * (exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25));
}

std::uint16_t to_half(double value) {
    const std::uint16_t sign = std::signbit(value) ? 0x8000 : 0;
    if (std::isnan(value)) return 0x7E00;
    const double size = std::fabs(value);
    if (size >= 65520) return sign | 0x7C00;
    int exponent = 0;
    std::frexp(size, &exponent);
    const int shift = size == 0 || exponent < -13 ? 24 : 11 - exponent;
    const auto scaled = static_cast<int>(std::nearbyint(std::ldexp(size, shift)));
    if (shift == 24) return static_cast<std::uint16_t>(sign | scaled);
    // A mantissa that was rounded up to 2048 carries into the exponent.
    return static_cast<std::uint16_t>(sign | (((exponent + 13) << 10) + scaled));
}

}  // namespace pocketgan
