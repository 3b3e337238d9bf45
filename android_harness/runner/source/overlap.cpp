#include "overlap.h"

#include "worker.h"

namespace pocketgan {

std::vector<Frame> overlapping(Loaded& model, std::int64_t count, std::int64_t round, const Between& between) {
    std::vector<Frame> frames(static_cast<std::size_t>(count));
    Clock& clock = model.clock();
    Worker converter, finisher;
    const auto convert = [&](std::size_t number) {
        Frame& frame = frames[number];
        frame.round = round;
        frame.start_ns = clock.now_ns();
        model.convert(number % 2);
        frame.pre_ns = clock.now_ns() - frame.start_ns;
    };
    const auto finish = [&](std::size_t number) {
        Frame& frame = frames[number];
        const std::int64_t before = clock.now_ns();
        model.finish(number % 2);
        frame.end_ns = clock.now_ns();
        frame.post_ns = *frame.end_ns - before;
    };
    converter.begin([&] { convert(0); });
    for (std::size_t number = 0; number < frames.size(); ++number) {
        converter.wait();
        // The slot of the next frame is that of the last one but one, whose output is a picture by now.
        if (number + 1 < frames.size()) converter.begin([&convert, number] { convert(number + 1); });
        const std::int64_t before = clock.now_ns();
        model.infer(number % 2);
        frames[number].inference_ns = clock.now_ns() - before;
        if (number > 0) finisher.wait();
        finisher.begin([&finish, number] { finish(number); });
        between(static_cast<std::int64_t>(number) + 1);
    }
    finisher.wait();
    return frames;
}

}  // namespace pocketgan
