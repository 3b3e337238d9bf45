// A Job (bench/schema/job.py, 1.3): what is to be measured.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "json.h"

namespace pocketgan {

struct WarmupRule {
    std::int64_t iterations = 5;
    std::int64_t window = 5;
    double tolerance = 0.03;
    double timeout_s = 10;
};

struct CoolDownRule {
    std::string maximum_thermal_state = "nominal";
    std::optional<double> maximum_temperature_c;
    double timeout_s = 300;
};

struct Job {
    std::string source;  // as it came, on one line: it goes back unchanged
    std::string bundle;
    std::string entry;
    std::optional<std::string> component;
    std::optional<std::string> drawn;  // the concept; the default one where null
    std::string mode;
    std::string via;
    std::string provider;
    std::string clock;
    WarmupRule warmup;
    std::int64_t iterations = 0;
    double duration_s = 0;
    std::int64_t rounds = 1;
    std::int64_t run = 0;
    std::int64_t threads = 1;
    std::string compute_units;
    std::int64_t cold_repeats = 1;
    std::optional<CoolDownRule> cool_down;
    bool energy = false;

    bool by_seconds() const { return mode == "sustained" || mode == "camera"; }
    // All that the jobs of one group have in common.
    std::string rule() const;
};

// Throws Problem that names the field.
Job read_job(const json::Value& value, const std::string& where);

}  // namespace pocketgan
