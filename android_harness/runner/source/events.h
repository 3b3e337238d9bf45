// What a process that measures tells the one that started it, one JSON object a line (bench/runners/protocol.py).
#pragma once

#include <cstdint>
#include <string>

#include "clock.h"
#include "json.h"

namespace pocketgan {

// The descriptor on which such a process writes.
constexpr int events_descriptor = 3;

class Events {
 public:
    Events(int descriptor, Clock& clock, double interval_s)
        : descriptor_(descriptor), clock_(clock), interval_ns_(static_cast<std::int64_t>(interval_s * 1e9)) {}

    void send(const std::string& event, json::Writer fields);
    // Tells, once an interval at most, that the work goes on.
    void beat(std::size_t model, std::int64_t done);

 private:
    int descriptor_;
    Clock& clock_;
    std::int64_t interval_ns_;
    std::int64_t last_ns_ = 0;
};

}  // namespace pocketgan
