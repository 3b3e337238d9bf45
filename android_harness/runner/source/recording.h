// A Result in the making: what the processes that measure a Job have told so far.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "conditions.h"
#include "json.h"
#include "session.h"

namespace pocketgan {

class Recording {
 public:
    Recording(const Job& job, std::size_t index) : job_(job), index_(index) {}

    const Job& job() const { return job_; }
    std::size_t index() const { return index_; }  // in its group
    bool failed() const { return failed_; }
    std::int64_t done() const;  // frames; of a sustained Job, seconds
    std::string detail() const {
        return bundle_name + " " + job_.entry + (job_.component ? " " + *job_.component : "") +
               (job_.drawn ? " " + *job_.drawn : "");
    }

    // What one event says of this Job; `loads` where its loads count.
    void take(const json::Value& event, bool loads);
    // It counts no more; frames that came before are not to be trusted either.
    void fail(const std::string& message);
    void add_error(const std::string& message);

    // The Result, as JSON.
    std::string result(const std::string& session, const std::string& device) const;

    std::string bundle_name = "unknown";
    std::string runtime = "onnxruntime";
    std::string delegation = "null";
    std::string started_at;
    std::string process;
    std::string cool_down = "null";
    std::vector<Conditions> conditions;

 private:
    Job job_;
    std::size_t index_;
    bool failed_ = false;
    std::string version_, registered_ = "null", planned_ = "null";
    std::string memory_ = "null", parity_ = "null", parity_after_ = "null", warmup_ = "null";
    std::vector<std::string> cold_, first_, warm_, file_cache_, errors_;
    std::string frames_;  // without the brackets of their list
    std::int64_t frame_count_ = 0;
    std::optional<std::int64_t> began_ns_;
    std::int64_t ended_ns_ = 0;
};

}  // namespace pocketgan
