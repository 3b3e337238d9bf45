// What the tests ask of the runner's parts.
#pragma once

#include <string>
#include <vector>

namespace pocketgan::checks {

using Words = std::vector<std::string>;

// FOLDER of bench/schema/conformance, and one that is emptied: how many cases hold; throws Problem at the first that does not.
int conformance(const Words& words);

// LIBRARY SESSION BLOCKS FRAMES: for each block the nanoseconds of so many frames in a bare loop and in the runner's.
int loop_cost(const Words& words);

}  // namespace pocketgan::checks
