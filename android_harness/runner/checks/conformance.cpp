// The vectors of bench/schema/conformance: a scripted clock, and what must come of it.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "checks.h"
#include "file_content.h"
#include "json.h"
#include "problem.h"
#include "timing.h"

namespace pocketgan::checks {
namespace {

std::int64_t integer(const json::Value& of, const char* name) {
    return std::strtoll(of.find(name)->text.c_str(), nullptr, 10);
}

double real(const json::Value& of, const char* name) { return std::strtod(of.find(name)->text.c_str(), nullptr); }

// Stands until a frame moves it.
class ScriptedClock final : public Clock {
 public:
    std::int64_t now_ns() override { return now_; }
    void move(std::int64_t by) { now_ += by; }

 private:
    std::int64_t now_ = 1'000'000;
};

std::string warmed(const json::Value& one) {
    const json::Value& rule = *one.find("warmup");
    std::vector<std::int64_t> times;
    for (const json::Value& time : one.find("frames_ns")->items)
        times.push_back(std::strtoll(time.text.c_str(), nullptr, 10));
    ScriptedClock clock;
    std::size_t at = 0;
    const RunFrame run = [&](std::int64_t round) {
        const std::int64_t time = times[std::min(at++, times.size() - 1)];
        Frame frame{clock.now_ns(), 0, time, 0, round, {}};
        clock.move(time);
        return frame;
    };
    const WarmupRule asked{integer(rule, "iterations"), integer(rule, "window"), real(rule, "tolerance"),
                           real(rule, "timeout_s")};
    const WarmedUp came = warm_up(clock, asked, run, [](std::int64_t) {});
    return std::to_string(came.iterations) + " " + std::to_string(came.duration_ns) + " " +
           (came.steady ? "true" : "false");
}

std::string wanted_of_warm_up(const json::Value& one) {
    return one.find("iterations")->text + " " + one.find("duration_ns")->text + " " +
           json::to_text(*one.find("steady"));
}

template <typename Numbers>
std::string numbers(const Numbers& values) {
    std::vector<std::string> texts;
    for (const auto value : values) texts.push_back(std::to_string(value));
    return json::list(texts);
}

std::string turned(const json::Value& one) {
    std::vector<std::string> orders;
    for (const auto& order : turns(static_cast<std::size_t>(integer(one, "models")), integer(one, "rounds"))) {
        orders.push_back(numbers(order));
    }
    return json::list(orders);
}

template <typename Came, typename Wanted>
int compare(const std::filesystem::path& path, Came came, Wanted wanted) {
    const json::Value file = json::parse(file_content(path, 64u << 20), path.string());
    int count = 0;
    for (const json::Value& one : file.find("cases")->items) {
        const std::string there = came(one), asked = wanted(one);
        if (there != asked)
            throw Problem(path.string() + ": " + json::to_text(one) + " came to " + there + ", not " + asked);
        ++count;
    }
    return count;
}

}  // namespace

int conformance(const Words& words) {
    const std::filesystem::path folder = words.at(0);
    int count = compare(folder / "warmup.json", warmed, wanted_of_warm_up);
    count += compare(folder / "turns.json", turned,
                     [](const json::Value& one) { return json::to_text(*one.find("turns")); });
    count += compare(
        folder / "rounds.json",
        [](const json::Value& one) { return numbers(split(integer(one, "iterations"), integer(one, "rounds"))); },
        [](const json::Value& one) { return json::to_text(*one.find("frames")); });
    std::printf("%d\n", count);
    return 0;
}

}  // namespace pocketgan::checks
