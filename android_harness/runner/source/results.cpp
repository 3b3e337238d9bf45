#include "results.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "file_content.h"
#include "problem.h"

namespace pocketgan {
namespace {

constexpr std::size_t most_results_bytes = std::size_t{1} << 31;

}  // namespace

Results::Results(const std::filesystem::path& path, const std::string& session)
    : path_(path), descriptor_(open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) {
    const auto fail = [&](const std::string& why) {
        if (descriptor_ >= 0) close(descriptor_);
        throw Problem(path.string() + ": " + why);
    };
    if (descriptor_ < 0) fail(std::string("results cannot be written there: ") + std::strerror(errno));
    if (flock(descriptor_, LOCK_EX | LOCK_NB) != 0) fail("another runner is at this session; wait for it or stop it");
    try {
        const std::string content = file_content(path, most_results_bytes);
        std::size_t start = 0;
        for (std::size_t end; (end = content.find('\n', start)) != std::string::npos; start = end + 1) {
            const auto line = json::parse(std::string_view(content).substr(start, end - start), path.string(),
                                          {"record", "session", "job"});
            const json::Value* record = line.find("record");
            if (record == nullptr) throw Problem(path.string() + " is no results.jsonl: a line is no record");
            const json::Value *name = line.find("session"), *job = line.find("job");
            if (record->text == "result" && name != nullptr && name->text == session && job != nullptr) {
                answered_.push_back(json::to_text(*job));
            }
        }
        if (start < content.size() && ftruncate(descriptor_, static_cast<off_t>(start)) != 0) {
            throw Problem(path.string() + ": half a last line cannot be cut off: " + std::strerror(errno));
        }
    } catch (...) {
        close(descriptor_);
        throw;
    }
}

Results::~Results() { close(descriptor_); }

bool Results::take_answer(const Job& job) {
    const auto found = std::find(answered_.begin(), answered_.end(), job.source);
    if (found == answered_.end()) return false;
    answered_.erase(found);
    return true;
}

void Results::result(const std::string& fields) { append("{\"record\":\"result\"," + fields.substr(1), true); }

void Results::beat(std::int64_t at_ns, const std::string& detail, std::int64_t done) {
    append(json::Writer()
               .add("record", "\"beat\"")
               .add("at_ns", json::number(at_ns))
               .add("detail", json::quote(detail))
               .add("done", json::number(done))
               .done(),
           false);  // nothing is lost with it, and a sync would disturb what is being measured
}

void Results::end(const std::string& error) {
    append(json::Writer().add("record", "\"end\"").add("error", error.empty() ? "null" : json::quote(error)).done(),
           true);
}

void Results::append(const std::string& line, bool sync) {
    struct stat before{};
    fstat(descriptor_, &before);
    const std::string whole = line + "\n";
    std::size_t written = 0;
    while (written < whole.size()) {
        const ssize_t count = write(descriptor_, whole.data() + written, whole.size() - written);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) break;
        written += static_cast<std::size_t>(count);
    }
    if (written == whole.size() && (!sync || fsync(descriptor_) == 0)) return;
    const std::string why = std::strerror(errno);
    const bool cut = ftruncate(descriptor_, before.st_size) == 0;
    throw Problem(path_.string() + ": results cannot be written: " + why +
                  (cut ? "; the results before it are intact" : "; its last line is broken"));
}

}  // namespace pocketgan
