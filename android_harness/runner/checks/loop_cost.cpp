// What the runner's loop costs beside a bare one: the same model on the same runtime, in one process, in turns.

#include <fcntl.h>

#include <algorithm>
#include <cstdio>

#include "checks.h"
#include "events.h"
#include "loaded.h"
#include "runtime.h"
#include "session.h"

namespace pocketgan::checks {

int loop_cost(const Words& words) {
    const Session session = read_session(words.at(1));
    const Job& job = session.groups.front().front();
    const int blocks = std::stoi(words.at(2)), frames = std::stoi(words.at(3));
    const Runtime runtime(words.at(0));
    const Bundle bundle = open_bundle(session.folder, job.bundle);
    Plan plan = plan_model(bundle, job);
    const Model model(runtime, plan.file, *plan.component, {job.threads, job.provider, ""});
    const std::vector<Tensor> outputs = model.run_once(plan.inputs);
    MonotonicClock clock;
    Loaded loaded(model, plan, outputs, clock);
    const auto bare = model.bind(plan.inputs, outputs);
    Events events(open("/dev/null", O_WRONLY | O_CLOEXEC), clock, session.beat_interval_s);

    const auto in_bare_loop = [&] {
        const std::int64_t started = clock.now_ns();
        for (int i = 0; i < frames; ++i) model.run(*bare);
        return clock.now_ns() - started;
    };
    const auto in_our_loop = [&] {
        const std::int64_t started = clock.now_ns();
        std::vector<Frame> timed;
        for (int i = 0; i < frames; ++i) {
            timed.push_back(loaded.frame(0));
            events.beat(0, i);
        }
        return clock.now_ns() - started;
    };
    in_bare_loop();
    for (int block = 0; block < blocks; ++block) {
        // Whoever comes first changes, so that neither has the quieter half of a drifting machine.
        std::int64_t bare_ns = 0, ours_ns = 0;
        if (block % 2 == 0) bare_ns = in_bare_loop();
        ours_ns = in_our_loop();
        if (block % 2 == 1) bare_ns = in_bare_loop();
        std::printf("%lld %lld\n", static_cast<long long>(bare_ns), static_cast<long long>(ours_ns));
    }
    return 0;
}

}  // namespace pocketgan::checks
