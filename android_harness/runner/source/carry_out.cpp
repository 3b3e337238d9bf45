#include "carry_out.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <map>
#include <random>

#include "bundle.h"
#include "child.h"
#include "clock.h"
#include "loaded.h"
#include "problem.h"
#include "recording.h"

namespace pocketgan {
namespace {

constexpr double conditions_interval_s = 10;
constexpr double cool_down_poll_s = 1;

std::string utc_now() {
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    gmtime_r(&now, &parts);
    char text[32];
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return text;
}

// A name that no other process has.
std::string new_process_name() {
    std::random_device random;
    char text[24];
    std::snprintf(text, sizeof text, "%08x%08x", static_cast<unsigned>(random()), static_cast<unsigned>(random()));
    return text;
}

void sleep_s(double seconds) {
    const auto ns = static_cast<std::int64_t>(seconds * 1e9);
    const timespec time{static_cast<std::time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
    nanosleep(&time, nullptr);  // a signal ends it early, which is looked at next
    stop_if_asked();
}

// What this runner cannot do for a Job; throws Problem.
void must_be_for_us(const Job& job, const Entry& entry) {
    if (entry.runtime != "onnxruntime") {
        throw Problem("entry " + entry.id + " runs on " + entry.runtime +
                      ", the native runner has ONNX Runtime alone; use --via app");
    }
    if (job.compute_units != "all" && job.compute_units != "cpu") {
        throw Problem("the native runner cannot choose compute units " + job.compute_units);
    }
}

class Work {
 public:
    Work(const Session& session, const Surroundings& surroundings, Results& results)
        : session_(session), surroundings_(surroundings), results_(results) {}

    void group(std::size_t number) {
        number_ = number;
        std::vector<Recording> runs;
        for (std::size_t i = 0; i < session_.groups[number].size(); ++i) {
            if (!results_.take_answer(session_.groups[number][i])) runs.emplace_back(session_.groups[number][i], i);
        }
        for (Recording& run : runs) measure_fresh(run);
        measure_frames(runs);
        for (const Recording& run : runs) results_.result(run.result(session_.name, surroundings_.device));
    }

 private:
    void measure_fresh(Recording& run) {
        run.started_at = utc_now();
        try {
            check(run);
        } catch (const Problem& problem) {
            run.fail(problem.what());
        }
        for (std::int64_t i = 0; i < std::max<std::int64_t>(1, run.job().cold_repeats) && !run.failed(); ++i) {
            run_pass("fresh", {&run});
        }
    }

    // That the Job is for this runner, and every byte that it uses what the bundle's digest vouches for.
    void check(Recording& run) {
        const Job& job = run.job();
        if (job.via != "shell")
            throw Problem("the Job is for via " + job.via + ", the native runner measures via shell");
        if (job.mode == "camera") throw Problem("mode camera needs the app: use --via app");
        // Only an app may ask for the battery's current; whether a charger is on it, its results could not say either.
        if (job.energy) throw Problem("energy per frame needs the app: use --via app");
        stop_if_asked();
        const Bundle bundle = open_bundle(session_.folder, job.bundle);
        run.bundle_name = bundle.manifest.name;
        const Entry& entry = bundle.manifest.entry(job.entry);
        run.runtime = entry.runtime;
        run.delegation = entry.delegation;
        must_be_for_us(job, entry);
        verify_used(bundle, job, [&] {
            stop_if_asked();
            beat(run, 0);
        });
        model_file(bundle, job);
    }

    void measure_frames(std::vector<Recording>& all) {
        std::vector<Recording*> runs;
        for (Recording& run : all) {
            if (!run.failed()) runs.push_back(&run);
        }
        if (runs.empty()) return;
        const std::string cooled = wait_until_cool(*runs.front());
        const Conditions state = read_conditions(clock_.now_ns());
        const std::string process = new_process_name();
        for (Recording* run : runs) {
            run->cool_down = cooled;
            run->process = process;
            run->conditions.push_back(state);
        }
        run_pass("frames", runs);
        for (Recording* run : runs) run->conditions.push_back(read_conditions(clock_.now_ns()));
    }

    std::string wait_until_cool(const Recording& run) {
        const auto& rule = run.job().cool_down;
        if (!rule) return "null";
        const std::int64_t started = clock_.now_ns();
        const auto waited = [&] { return static_cast<double>(clock_.now_ns() - started) * 1e-9; };
        std::optional<bool> cool;
        while ((cool = is_cool(*rule, read_conditions(clock_.now_ns()))) == false && waited() < rule->timeout_s) {
            beat(run, 0);
            sleep_s(std::min(cool_down_poll_s, std::max(0.0, rule->timeout_s - waited())));
        }
        return json::Writer()
            .add("waited_s", json::number(waited()))
            .add("cool", cool ? (*cool ? "true" : "false") : "null")
            .done();
    }

    // One process that measures; whatever it tells or dies of goes into `runs`.
    void run_pass(const std::string& pass, const std::vector<Recording*>& runs) {
        std::vector<std::string> arguments{"--pass", pass, session_.folder.string(), surroundings_.runtime.string(),
                                           std::to_string(number_)};
        for (const Recording* run : runs) arguments.push_back(std::to_string(run->index()));
        std::int64_t conditions_ns = clock_.now_ns();
        const std::string why = run_child(arguments, [&](const json::Value& event) {
            const json::Value* model = event.find("model");
            if (model == nullptr) {
                for (Recording* run : runs) run->take(event, false);
                return;
            }
            Recording& run = *runs.at(std::stoul(model->text));
            run.take(event, pass == "fresh" && run.job().cold_repeats > 0);
            const json::Value* done = event.find("done");
            beat(run, done == nullptr ? run.done() : std::stoll(done->text));
            const std::int64_t now = clock_.now_ns();
            if (event.find("event")->text == "frames" &&
                static_cast<double>(now - conditions_ns) > interval_s(run) * 1e9) {
                conditions_ns = now;
                run.conditions.push_back(read_conditions(now));
            }
        });
        if (why.empty()) return;
        for (Recording* run : runs) run->fail(why);
    }

    static double interval_s(const Recording& run) {
        if (run.job().duration_s <= 0) return conditions_interval_s;
        return std::min(conditions_interval_s, std::max(1.0, run.job().duration_s / 50));
    }

    void beat(const Recording& run, std::int64_t done) {
        const std::int64_t now = clock_.now_ns();
        if (static_cast<double>(now - beat_ns_) < session_.beat_interval_s * 1e9) return;
        beat_ns_ = now;
        results_.beat(now, run.detail(), done);
    }

    const Session& session_;
    const Surroundings& surroundings_;
    Results& results_;
    MonotonicClock clock_;
    std::size_t number_ = 0;
    std::int64_t beat_ns_ = 0;
};

}  // namespace

void carry_out(const Session& session, const Surroundings& surroundings, Results& results) {
    // In a process of its own, as all that touches the runtime.
    const std::vector<std::string> probe{"--pass", "probe", session.folder.string(), surroundings.runtime.string()};
    if (const std::string why = run_child(probe, [](const json::Value&) {}); !why.empty()) throw Problem(why);
    Work work(session, surroundings, results);
    for (std::size_t number = 0; number < session.groups.size(); ++number) {
        stop_if_asked();
        work.group(number);
    }
}

}  // namespace pocketgan
