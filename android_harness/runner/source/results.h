// results.jsonl (bench/schema/session.py): result lines, each appended and synced as its Job ends, beats, one end.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "job.h"

namespace pocketgan {

class Results {
 public:
    // Opens the file, cuts off half a last line, and finds which Jobs of this session it answers.
    // Throws Problem: it cannot be written, it is no results.jsonl, or another runner is at it.
    Results(const std::filesystem::path& path, const std::string& session);
    ~Results();
    Results(const Results&) = delete;
    Results& operator=(const Results&) = delete;

    // Takes one answer to this Job from those that the file held; false where none is left.
    bool take_answer(const Job& job);

    // Each throws Problem where the disk is full or refuses; what is before it stays whole.
    void result(const std::string& fields);
    void beat(std::int64_t at_ns, const std::string& detail, std::int64_t done);
    void end(const std::string& error);

 private:
    void append(const std::string& line, bool sync);

    std::filesystem::path path_;
    int descriptor_;
    std::vector<std::string> answered_;
};

}  // namespace pocketgan
