// How an entry draws a concept; bench/schema/conformance/concepts.json pins it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "manifest.h"

namespace pocketgan {

struct Drawing {
    const Entry* entry;
    const ConceptForm* form;  // null where the entry draws it as it stands
    std::vector<GoldenTensor> inputs;
    std::vector<GoldenTensor> outputs;
    std::optional<Parity> parity;
    std::vector<std::string> others;  // files that draw other concepts alone

    // Path in the bundle of what the runtime opens; of a patch, what it is put into.
    // Throws Problem: the entry point is none of several files.
    std::string model(const Component& component) const;
    // Path in the bundle of the patch of the component's file; none where it runs as it is.
    std::optional<std::string> patch(const Component& component) const;
    // The function of the file that draws it; none where the file has one alone.
    std::optional<std::string> function() const;
    // The files that the component needs.
    std::vector<FileRecord> files(const Component& component) const;

 private:
    bool is_of(const char* way, const Component& component) const;
};

// How the entry draws the concept, or what it draws as it stands where none is asked for.
// Throws Problem: the bundle has no such concept, or the entry does not draw it.
Drawing draw(const Manifest& manifest, const Entry& entry, const std::optional<std::string>& concept_name);

}  // namespace pocketgan
