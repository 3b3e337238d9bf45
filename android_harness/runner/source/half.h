// Half-precision numbers (IEEE 754 binary16).
#pragma once

#include <cstdint>

namespace pocketgan {

double from_half(std::uint16_t half);

// To nearest, ties to even; rounded once.
std::uint16_t to_half(double value);

}  // namespace pocketgan
