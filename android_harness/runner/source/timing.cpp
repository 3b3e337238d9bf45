#include "timing.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace pocketgan {
namespace {

// Scheduler noise and a runtime's own threads stay far below this.
constexpr double thread_tolerance = 1.25;
constexpr double shortest_thread_check_s = 0.05;

double median(std::vector<std::int64_t> times) {
    std::sort(times.begin(), times.end());
    const std::size_t middle = times.size() / 2;
    if (times.size() % 2 == 1) return static_cast<double>(times[middle]);
    return static_cast<double>(times[middle - 1] + times[middle]) / 2;
}

// Nanoseconds of seconds, cut as Python's int() does; a time that no clock reaches stands for one that is too long.
std::int64_t nanoseconds(double seconds) { return static_cast<std::int64_t>(std::min(seconds, 1e9) * 1e9); }

}  // namespace

WarmedUp warm_up(Clock& clock, const WarmupRule& rule, const RunFrame& run, const Between& between) {
    const std::int64_t started = clock.now_ns();
    const std::int64_t end = started + nanoseconds(rule.timeout_s);
    const auto window = static_cast<std::size_t>(rule.window);
    std::vector<std::int64_t> times;
    bool steady = rule.timeout_s <= 0;
    while (static_cast<std::int64_t>(times.size()) < rule.iterations || !(steady || clock.now_ns() >= end)) {
        times.push_back(run(0).total_ns());
        between(static_cast<std::int64_t>(times.size()));
        // Looked at once a window: with every frame anew, chance would find two windows alike.
        if (!steady && times.size() % window == 0 && times.size() >= 2 * window) {
            const auto last_begins = times.end() - rule.window;
            const double before = median({last_begins - rule.window, last_begins});
            const double last = median({last_begins, times.end()});
            steady = std::fabs(before - last) <= rule.tolerance * last;
        }
    }
    return {static_cast<std::int64_t>(times.size()), clock.now_ns() - started, steady};
}

std::vector<std::vector<std::size_t>> turns(std::size_t models, std::int64_t rounds) {
    std::vector<std::vector<std::size_t>> orders;
    for (std::int64_t number = 0; number < rounds; ++number) {
        std::vector<std::size_t> order;
        for (std::size_t i = 0; i < models; ++i) order.push_back((static_cast<std::size_t>(number / 2) + i) % models);
        if (number % 2 == 1) std::reverse(order.begin(), order.end());
        orders.push_back(order);
    }
    return orders;
}

std::vector<std::int64_t> split(std::int64_t iterations, std::int64_t rounds) {
    const std::int64_t count = std::min(rounds, iterations);
    std::vector<std::int64_t> counts;
    for (std::int64_t number = 0; number < count; ++number) {
        counts.push_back(iterations / count + (number < iterations % count ? 1 : 0));
    }
    return counts;
}

void sustain(Clock& clock, double duration_s, const RunFrame& run, const std::function<void(const Frame&)>& take) {
    std::int64_t now = clock.now_ns();
    const std::int64_t end = now + nanoseconds(duration_s);
    while (now < end) {
        take(run(0));
        now = clock.now_ns();
    }
}

std::string thread_note(double all_s, double main_s, std::int64_t threads) {
    if (all_s < shortest_thread_check_s || all_s <= static_cast<double>(threads) * thread_tolerance * main_s) return "";
    char text[120];
    std::snprintf(text, sizeof text, "the runtime spread its work over %.1f threads though %lld were asked for",
                  all_s / std::max(main_s, 1e-9), static_cast<long long>(threads));
    return text;
}

}  // namespace pocketgan
