#include "drawing.h"

#include <algorithm>

#include "problem.h"

namespace pocketgan {
namespace {

const ConceptForm* form_of(const Effect& effect, const Entry& entry) {
    for (const ConceptForm& form : effect.forms) {
        if (form.entry == entry.id) return &form;
    }
    return nullptr;
}

std::string comma_list(const std::vector<std::string>& words) {
    std::string text;
    for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
    return text;
}

// The form by which the entry draws that concept, which is not the default one.
const ConceptForm& needed_form(const Manifest& manifest, const Entry& entry, const std::string& name) {
    if (manifest.concepts.empty()) throw Problem("the bundle is no pack of concepts, it draws one effect alone");
    std::vector<std::string> all, drawn{manifest.default_concept.value_or("")};
    const ConceptForm* found = nullptr;
    for (const Effect& effect : manifest.concepts) {
        all.push_back(effect.name);
        const ConceptForm* form = form_of(effect, entry);
        if (form != nullptr) drawn.push_back(effect.name);
        if (effect.name == name) found = form;
    }
    if (std::find(all.begin(), all.end(), name) == all.end()) {
        throw Problem("the bundle has no concept " + name + "; it has: " + comma_list(all));
    }
    if (found == nullptr) throw Problem(entry.id + " does not draw " + name + "; it draws: " + comma_list(drawn));
    return *found;
}

}  // namespace

Drawing draw(const Manifest& manifest, const Entry& entry, const std::optional<std::string>& concept_name) {
    const bool as_it_stands = !concept_name || concept_name == manifest.default_concept;
    const ConceptForm* form = as_it_stands ? nullptr : &needed_form(manifest, entry, *concept_name);
    const GoldenSet& golden = manifest.golden_set(form == nullptr ? entry.golden : form->golden);
    const GoldenSet& given = golden.inputs_of ? manifest.golden_set(*golden.inputs_of) : golden;
    Drawing drawing{&entry, form, given.inputs, golden.outputs, form == nullptr ? entry.parity : form->parity, {}};
    for (const Effect& effect : manifest.concepts) {
        const ConceptForm* other = form_of(effect, entry);
        if (other == nullptr || other->way == "function" || (form != nullptr && other->name == form->name)) continue;
        drawing.others.push_back(other->name);
    }
    return drawing;
}

bool Drawing::is_of(const char* way, const Component& component) const {
    return form != nullptr && form->way == way &&
           std::any_of(component.files.begin(), component.files.end(),
                       [&](const FileRecord& file) { return file.path == form->name; });
}

std::string Drawing::model(const Component& component) const {
    return is_of("model", component) ? form->name : model_path(component);
}

std::optional<std::string> Drawing::patch(const Component& component) const {
    if (!is_of("patch", component)) return {};
    return form->name;
}

std::optional<std::string> Drawing::function() const {
    if (form == nullptr || form->way != "function") return {};
    return form->name;
}

std::vector<FileRecord> Drawing::files(const Component& component) const {
    const bool is_model = is_of("model", component);
    std::vector<FileRecord> needed;
    for (const FileRecord& file : component.files) {
        const bool is_start = is_entry_point(component, file.path);
        const bool is_other = std::find(others.begin(), others.end(), file.path) != others.end();
        if (is_start ? !is_model : !is_other) needed.push_back(file);
    }
    return needed;
}

}  // namespace pocketgan
