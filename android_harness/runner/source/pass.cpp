#include "pass.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <list>

#include "events.h"
#include "file_cache.h"
#include "loaded.h"
#include "overlap.h"
#include "profile.h"
#include "runtime.h"
#include "session.h"
#include "system_files.h"

namespace pocketgan {
namespace {

constexpr int runs_before_memory = 2;
// How often a sustained run hands over its frames.
constexpr std::int64_t batch_ns = 1'000'000'000;

// All that a model needs to be measured, in places that do not move.
struct Subject {
    std::size_t index;
    Bundle bundle;
    Plan plan;
    Model model;
    std::vector<Tensor> outputs;
    std::unique_ptr<Loaded> loaded;
    bool works = true;
};

double cpu_seconds(clockid_t clock) {
    timespec time{};
    clock_gettime(clock, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

std::string to_json(const Frame& frame) {
    std::vector<std::string> parts;
    for (const std::int64_t part : {frame.start_ns, frame.pre_ns, frame.inference_ns, frame.post_ns, frame.round}) {
        parts.push_back(json::number(part));
    }
    if (frame.end_ns) parts.push_back(json::number(*frame.end_ns));
    return json::list(parts);
}

class Measurement {
 public:
    Measurement(const Session& session, const std::vector<Job>& jobs, const std::filesystem::path& library)
        : session_(session),
          jobs_(jobs),
          events_(events_descriptor, clock_, session.beat_interval_s),
          runtime_(library) {
        runtime_bytes_ = own_status_bytes("VmHWM");
        std::vector<std::string> providers;
        for (const std::string& name : runtime_.providers()) providers.push_back(json::quote(name));
        events_.send(
            "ready",
            json::Writer().add("version", json::quote(runtime_.version())).add("registered", json::list(providers)));
    }

    void fresh() {
        for (std::size_t index = 0; index < jobs_.size(); ++index) {
            guarded(index, [&] { measure_fresh(prepare(index)); });
        }
        done("");
    }

    void frames() {
        for (std::size_t index = 0; index < jobs_.size(); ++index) guarded(index, [&] { prepare(index); });
        for (Subject& subject : subjects_) {
            subject.loaded = std::make_unique<Loaded>(subject.model, subject.plan, subject.outputs, clock_);
        }
        for (Subject& subject : subjects_) step(subject, [&] { warm_up_one(subject); });
        if (subjects_.empty()) return done("");
        const std::string note = jobs_.front().by_seconds() ? sustained() : take_turns();
        for (Subject& subject : subjects_) step(subject, [&] { check_again(subject); });
        done(note);
    }

    void done(const std::string& note) { events_.send("done", json::Writer().add("note", json::quote(note))); }

 private:
    // What a model throws belongs to that model, not to the others.
    template <typename Step>
    bool guarded(std::size_t index, Step step) {
        try {
            step();
            return true;
        } catch (const Refused& problem) {
            failed(index, std::string("onnxruntime refused the model: ") + problem.what());
        } catch (const std::exception& problem) {
            failed(index, problem.what());
        }
        return false;
    }

    // One step of a model that has not failed before.
    template <typename Step>
    void step(Subject& subject, Step take) {
        if (subject.works) subject.works = guarded(subject.index, take);
    }

    void failed(std::size_t index, const std::string& message) {
        events_.send("failed", of(index).add("message", json::quote(message)));
    }

    static json::Writer of(std::size_t index) { return json::Writer().add("model", std::to_string(index)); }

    LoadOptions options(const Job& job) const { return {job.threads, job.provider, ""}; }

    // A library that is older than the one that the bundle names may not know what is in the file.
    Model load(const Plan& plan, const Job& job) const {
        try {
            return Model(runtime_, plan.file, *plan.component, options(job));
        } catch (const Refused& problem) {
            if (!runtime_.older_than(plan.runtime_version)) throw;
            throw Problem("engine too old for the file: ONNX Runtime " + runtime_.version() + " refused it (" +
                          problem.what() + "); put a libonnxruntime.so of " + plan.runtime_version +
                          " or newer beside the runner");
        }
    }

    // Loads, runs once and compares with golden, before any clock that counts frames.
    Subject& prepare(std::size_t index) {
        const Job& job = jobs_[index];
        Bundle bundle = open_bundle(session_.folder, job.bundle);
        // The plan points into its bundle, which moves with its vectors' content in place.
        Plan plan = plan_model(bundle, job);
        const auto in_cache = cached_share(plan.file);
        const std::int64_t started = clock_.now_ns();
        Model model = load(plan, job);
        const std::int64_t loaded = clock_.now_ns();
        std::vector<Tensor> outputs = model.run_once(plan.inputs);
        const std::int64_t ended = clock_.now_ns();
        events_.send("loaded", of(index)
                                   .add("cold_ns", json::number(loaded - started))
                                   .add("first_ns", json::number(ended - loaded))
                                   .add("file_cache", in_cache ? json::number(*in_cache) : "null"));
        const Agreement agreed = agreement(outputs, plan.golden, plan.ranges);
        events_.send("parity", of(index).add("agreement", agreed.to_json()));
        must_reach(agreed, plan.floor_db, "wrong output, not timed");
        subjects_.push_back(
            Subject{index, std::move(bundle), std::move(plan), std::move(model), std::move(outputs), {}});
        return subjects_.back();
    }

    // Memory with the model in use, then a second load, which would count twice in the peak.
    void measure_fresh(Subject& subject) {
        for (int i = 0; i < runs_before_memory; ++i) subject.model.run_once(subject.plan.inputs);
        events_.send("memory", of(subject.index)
                                   .add("runtime_bytes", json::number(runtime_bytes_))
                                   .add("peak_bytes", json::number(own_status_bytes("VmHWM"))));
        const std::int64_t started = clock_.now_ns();
        const Model again(runtime_, subject.plan.file, *subject.plan.component, options(jobs_[subject.index]));
        events_.send("reloaded", of(subject.index).add("warm_ns", json::number(clock_.now_ns() - started)));
        const std::string planned =
            planned_nodes(runtime_, subject.plan, options(jobs_[subject.index]), session_.folder);
        events_.send("placed", of(subject.index).add("planned", planned));
    }

    void warm_up_one(Subject& subject) {
        Loaded& model = *subject.loaded;
        const WarmedUp warmed = warm_up(
            clock_, jobs_[subject.index].warmup, [&](std::int64_t round) { return model.frame(round); },
            [&](std::int64_t) { events_.beat(subject.index, 0); });
        events_.send("warmed", of(subject.index)
                                   .add("iterations", json::number(warmed.iterations))
                                   .add("duration_ns", json::number(warmed.duration_ns))
                                   .add("steady", warmed.steady ? "true" : "false"));
    }

    // Returns what there is to say of the threads.
    std::string take_turns() {
        const Job& job = jobs_.front();
        const auto counts = split(job.iterations, job.rounds);
        const auto orders = turns(subjects_.size(), static_cast<std::int64_t>(counts.size()));
        double all_s = 0, main_s = 0;
        std::int64_t before = 0;
        for (std::size_t number = 0; number < counts.size(); ++number) {
            for (const std::size_t position : orders[number]) {
                Subject& subject = *std::next(subjects_.begin(), static_cast<std::ptrdiff_t>(position));
                step(subject, [&] {
                    const auto round = static_cast<std::int64_t>(number);
                    // The other model's turn has evicted this one's weights; an app's would be there.
                    if (subjects_.size() > 1) subject.loaded->frame(round);
                    subject.loaded->forget_outputs();
                    all_s -= cpu_seconds(CLOCK_PROCESS_CPUTIME_ID), main_s -= cpu_seconds(CLOCK_THREAD_CPUTIME_ID);
                    const auto frames = turn(subject, counts[number], round, before);
                    all_s += cpu_seconds(CLOCK_PROCESS_CPUTIME_ID), main_s += cpu_seconds(CLOCK_THREAD_CPUTIME_ID);
                    send(subject.index, frames);
                });
            }
            before += counts[number];
        }
        return job.mode == "throughput" ? "" : thread_note(all_s, main_s, job.threads);
    }

    std::vector<Frame> turn(Subject& subject, std::int64_t count, std::int64_t round, std::int64_t before) {
        const Between between = [&](std::int64_t done) { events_.beat(subject.index, before + done); };
        if (jobs_.front().mode == "throughput") return overlapping(*subject.loaded, count, round, between);
        std::vector<Frame> frames;
        frames.reserve(static_cast<std::size_t>(count));
        for (std::int64_t done = 1; done <= count; ++done) {
            frames.push_back(subject.loaded->frame(round));
            between(done);
        }
        return frames;
    }

    std::string sustained() {
        Subject& subject = subjects_.front();
        step(subject, [&] {
            subject.loaded->forget_outputs();
            std::vector<Frame> frames;
            std::int64_t batch_end = clock_.now_ns() + batch_ns;
            sustain(
                clock_, jobs_.front().duration_s, [&](std::int64_t round) { return subject.loaded->frame(round); },
                [&](const Frame& frame) {
                    frames.push_back(frame);
                    const std::int64_t now = frame.start_ns + frame.total_ns();
                    if (now < batch_end) return;
                    send(subject.index, frames);
                    frames.clear();
                    batch_end = now + batch_ns;
                });
            send(subject.index, frames);
        });
        return "";
    }

    void send(std::size_t index, const std::vector<Frame>& frames) {
        std::vector<std::string> texts;
        for (const Frame& frame : frames) texts.push_back(to_json(frame));
        events_.send("frames", of(index).add("frames", json::list(texts)));
    }

    void check_again(const Subject& subject) {
        const Agreement agreed = subject.loaded->agreement_now();
        events_.send("parity_after", of(subject.index).add("agreement", agreed.to_json()));
        // A timed frame begins with a picture of 256 levels, which the golden input need not be.
        must_reach(agreed, std::min(subject.plan.floor_db, 30.0), "wrong output of the last timed frame");
    }

    const Session& session_;
    const std::vector<Job>& jobs_;
    MonotonicClock clock_;
    Events events_;
    Runtime runtime_;
    std::int64_t runtime_bytes_ = 0;
    std::list<Subject> subjects_;
};

void measure(const std::vector<std::string>& words) {
    const std::string& pass = words.at(1);
    const Session session = read_session(words.at(2));
    std::vector<Job> jobs;
    for (std::size_t i = 5; i < words.size(); ++i) {
        jobs.push_back(session.groups.at(std::stoul(words[4])).at(std::stoul(words[i])));
    }
    Measurement measurement(session, jobs, words.at(3));
    if (pass == "fresh") return measurement.fresh();
    if (pass == "frames") return measurement.frames();
    measurement.done("");
}

}  // namespace

int pass_main(const std::vector<std::string>& words) {
    // What a runtime prints belongs to no result.
    dup2(STDERR_FILENO, STDOUT_FILENO);
    try {
        measure(words);
        return 0;
    } catch (const Problem& problem) {
        MonotonicClock clock;
        Events(events_descriptor, clock, 1).send("refused", json::Writer().add("message", json::quote(problem.what())));
    } catch (const std::exception& fault) {
        std::fprintf(stderr, "fault of the runner: %s\n", fault.what());
    }
    return 1;
}

}  // namespace pocketgan
