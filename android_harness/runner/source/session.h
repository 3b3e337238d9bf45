// session.json (bench/schema/session.py, 1.0): groups of Jobs whose models take turns.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "job.h"

namespace pocketgan {

struct Session {
    std::filesystem::path folder;
    std::string name;
    double beat_interval_s = 1;
    std::vector<std::vector<Job>> groups;
};

// The session in a folder. Throws Problem where there is none or where it is broken.
Session read_session(const std::filesystem::path& folder);

}  // namespace pocketgan
