// Frames on the clock: warm-up until steady, turns, a run for a time (bench/runners/timing.py; the conformance vectors
// of bench/schema/conformance hold for both).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "clock.h"
#include "job.h"

namespace pocketgan {

// As result.Frame, in nanoseconds.
struct Frame {
    std::int64_t start_ns = 0;
    std::int64_t pre_ns = 0;
    std::int64_t inference_ns = 0;
    std::int64_t post_ns = 0;
    std::int64_t round = 0;
    std::optional<std::int64_t> end_ns;

    std::int64_t total_ns() const { return pre_ns + inference_ns + post_ns; }
};

struct WarmedUp {
    std::int64_t iterations = 0;
    std::int64_t duration_ns = 0;
    bool steady = false;
};

// Runs one frame of a round.
using RunFrame = std::function<Frame(std::int64_t round)>;
// Called between frames with how many are done.
using Between = std::function<void(std::int64_t done)>;

// Runs frames until the rule (job.Warmup) is met or its time is up.
WarmedUp warm_up(Clock& clock, const WarmupRule& rule, const RunFrame& run, const Between& between);

// Order of the models in each round: rotated by one every second round, and back to front in between, so that each
// model stands equally often early and late, before and after each other.
std::vector<std::vector<std::size_t>> turns(std::size_t models, std::int64_t rounds);

// How many iterations each round has; at most one round an iteration.
std::vector<std::int64_t> split(std::int64_t iterations, std::int64_t rounds);

// Frame after frame until `duration_s` are over; `take` gets each.
void sustain(Clock& clock, double duration_s, const RunFrame& run, const std::function<void(const Frame&)>& take);

// What to say where a runtime used more threads than were asked for; empty where it did not. CPU seconds of all
// threads of the process and of the one that calls the runtime, which takes an equal share of the work: their ratio
// holds on a busy device too, where CPU time per wall time does not.
std::string thread_note(double all_s, double main_s, std::int64_t threads);

}  // namespace pocketgan
