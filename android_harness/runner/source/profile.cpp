#include "profile.h"

#include <map>
#include <set>
#include <system_error>

#include "file_content.h"
#include "json.h"
#include "system_files.h"

namespace pocketgan {
namespace {

constexpr std::size_t most_profile_bytes = 64u << 20;

std::string counted(const json::Value& profile) {
    std::map<std::string, std::set<std::string>> nodes;
    for (const json::Value& event : profile.items) {
        const json::Value *category = event.find("cat"), *name = event.find("name"), *arguments = event.find("args");
        if (category == nullptr || name == nullptr || arguments == nullptr || category->text != "Node") continue;
        if (const json::Value* provider = arguments->find("provider")) nodes[provider->text].insert(name->text);
    }
    if (nodes.empty()) return "null";
    json::Writer counts;
    for (const auto& [provider, names] : nodes) counts.add(provider, std::to_string(names.size()));
    return counts.done();
}

}  // namespace

std::string planned_nodes(const Runtime& runtime, Plan& plan, LoadOptions options,
                          const std::filesystem::path& folder) {
    const std::string name = "runner-profile";
    options.profile = (folder / name).string();
    std::string planned = "null";
    try {
        const Model model(runtime, plan.file, *plan.component, options);
        model.run_once(plan.inputs);
        planned = counted(json::parse(file_content(model.end_profile(), most_profile_bytes), "the profile"));
    } catch (const Problem&) {
        planned = "null";  // evidence that cannot be had; the measurement stands without it
    }
    std::error_code ignored;
    for (const std::filesystem::path& left : system_entries(folder, name)) std::filesystem::remove(left, ignored);
    return planned;
}

}  // namespace pocketgan
