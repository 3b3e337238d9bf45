// The clock that frames are stamped by.
#pragma once

#include <cstdint>
#include <ctime>

namespace pocketgan {

class Clock {
 public:
    virtual ~Clock() = default;
    virtual std::int64_t now_ns() = 0;
};

// CLOCK_MONOTONIC: System.nanoTime() of Android's apps, time.perf_counter_ns() of Python on Linux.
class MonotonicClock final : public Clock {
 public:
    std::int64_t now_ns() override {
        timespec time{};
        clock_gettime(CLOCK_MONOTONIC, &time);
        return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
    }
};

}  // namespace pocketgan
