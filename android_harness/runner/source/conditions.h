// The state of the device at one moment (result.Conditions), as /sys and /proc tell it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "job.h"

namespace pocketgan {

struct Conditions {
    std::int64_t at_ns = 0;
    std::optional<double> temperature_c;  // of the hottest sensor of the processor
    std::optional<double> frequency_mhz;  // of the fastest core
    std::optional<double> load_average;
    std::optional<double> battery_percent;
    std::optional<bool> charging;
    std::optional<double> power_w;  // drawn from the battery; negative while it is charged

    std::string to_json() const;
};

// `root` stands for / in tests.
Conditions read_conditions(std::int64_t at_ns, const std::filesystem::path& root = "/");

// Whether the rule is met; none where the system tells nothing that it asks for. /sys knows no thermal state.
std::optional<bool> is_cool(const CoolDownRule& rule, const Conditions& state);

}  // namespace pocketgan
