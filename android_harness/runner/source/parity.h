// Agreement of outputs with golden ones (bench/runners/loop.py).
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "problem.h"
#include "tensor.h"

namespace pocketgan {

// A model that does not compute its golden outputs.
struct WrongOutput : Problem {
    using Problem::Problem;
};

struct Agreement {
    std::optional<double> psnr_db;  // none where it is infinite
    double max_abs_error = 0;

    std::string to_json() const;
};

using ValueRange = std::optional<std::pair<double, double>>;

// PSNR in dB and maximum absolute error over all outputs; the worst output counts. The peak is the width of the
// declared value range, or of the golden values where none is declared.
// Throws WrongOutput: another number of outputs, another shape, or values that are not finite.
Agreement agreement(const std::vector<Tensor>& outputs, const std::vector<Tensor>& golden,
                    const std::vector<ValueRange>& ranges);

// Throws WrongOutput where it lies below the floor; `ending` closes the message.
void must_reach(const Agreement& agreement, double floor_db, const std::string& ending);

}  // namespace pocketgan
