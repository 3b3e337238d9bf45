// What stops the work and somebody can mend: one line that says what to do.
#pragma once

#include <stdexcept>

namespace pocketgan {

struct Problem : std::runtime_error {
    using std::runtime_error::runtime_error;
};

}  // namespace pocketgan
