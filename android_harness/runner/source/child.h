// A process that measures, seen from the one that started it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "json.h"

namespace pocketgan {

// SIGTERM, SIGINT or SIGHUP came.
struct Cancelled {
    int signal;

    std::string name() const;
};

// From now on those signals stop the work; between them it looks with `stop_if_asked`.
void catch_signals();
// Throws Cancelled where one came.
void stop_if_asked();

// Runs this very program with `arguments` (see pass_main), and hands over its events until it says `done`.
// Returns in one line why it ended before that; empty where it did not.
// Throws Cancelled, after the process has ended.
std::string run_child(const std::vector<std::string>& arguments, const std::function<void(const json::Value&)>& take);

}  // namespace pocketgan
