#include "session.h"

#include "fields.h"
#include "file_content.h"
#include "problem.h"

namespace pocketgan {
namespace {

constexpr int session_minor = 2;
constexpr std::size_t most_session_bytes = 64u << 20;

std::vector<Job> read_group(const json::Value& value, const std::string& where, bool later) {
    std::vector<Job> jobs;
    Fields fields(value, where, later);
    fields.each("jobs", false,
                [&](const json::Value& job, const std::string& at) { jobs.push_back(read_job(job, at)); });
    fields.end();
    for (const Job& job : jobs) {
        if (job.rule() != jobs.front().rule()) fields.fail("jobs", "differ in more than bundle and entry");
        if (job.by_seconds() && jobs.size() > 1)
            fields.fail("jobs", "of mode " + job.mode + " have groups of their own");
    }
    return jobs;
}

}  // namespace

Session read_session(const std::filesystem::path& folder) {
    const std::filesystem::path path = folder / "session.json";
    const json::Value value = json::parse(file_content(path, most_session_bytes), path.string());
    const bool later = added_later(value, "schema_version", session_minor, path.string());
    Fields fields(value, path.string(), later);
    Session session;
    session.folder = folder;
    fields.text("schema_version", "1.2");
    session.name = fields.text("name");
    if (session.name.empty() || session.name.size() > 1024) fields.fail("name", "is empty or too long");
    session.beat_interval_s = fields.number("beat_interval_s", 1);
    if (session.beat_interval_s <= 0) fields.fail("beat_interval_s", "is not above 0");
    fields.each("groups", false, [&](const json::Value& group, const std::string& at) {
        session.groups.push_back(read_group(group, at, later));
    });
    fields.end();
    return session;
}

}  // namespace pocketgan
