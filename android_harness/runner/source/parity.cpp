#include "parity.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "json.h"

namespace pocketgan {

std::string Agreement::to_json() const {
    return json::Writer()
        .add("psnr_db", psnr_db ? json::number(*psnr_db) : "null")
        .add("max_abs_error", json::number(max_abs_error))
        .done();
}

Agreement agreement(const std::vector<Tensor>& outputs, const std::vector<Tensor>& golden,
                    const std::vector<ValueRange>& ranges) {
    if (outputs.size() != golden.size()) {
        throw WrongOutput("the model gives " + std::to_string(outputs.size()) + " outputs, its contract " +
                          std::to_string(golden.size()));
    }
    Agreement worst;
    for (std::size_t which = 0; which < outputs.size(); ++which) {
        const Tensor& output = outputs[which];
        const Tensor& expected = golden[which];
        if (output.shape != expected.shape) {
            throw WrongOutput("output of shape " + shape_text(output.shape) + ", golden output of shape " +
                              shape_text(expected.shape));
        }
        double squares = 0, low = INFINITY, high = -INFINITY;
        for (std::size_t i = 0; i < output.count(); ++i) {
            const double wanted = expected.at(i);
            const double difference = output.at(i) - wanted;
            if (!std::isfinite(difference)) throw WrongOutput("the output holds values that are not finite");
            squares += difference * difference;
            low = std::min(low, wanted), high = std::max(high, wanted);
            worst.max_abs_error = std::max(worst.max_abs_error, std::fabs(difference));
        }
        if (squares == 0) continue;
        const double width = ranges[which] ? ranges[which]->second - ranges[which]->first : high - low;
        const double peak = width == 0 ? 1 : width;
        const double db = 10 * std::log10(peak * peak / (squares / static_cast<double>(output.count())));
        worst.psnr_db = worst.psnr_db ? std::min(*worst.psnr_db, db) : db;
    }
    return worst;
}

void must_reach(const Agreement& agreement, double floor_db, const std::string& ending) {
    if (!agreement.psnr_db || *agreement.psnr_db >= floor_db) return;
    char text[160];
    std::snprintf(text, sizeof text, "%.1f dB from the golden output, %g dB is the floor; ", *agreement.psnr_db,
                  floor_db);
    throw WrongOutput(text + ending);
}

}  // namespace pocketgan
