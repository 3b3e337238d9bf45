package pocketgan.bundle

/** What a manifest's concepts say against the rest of it, and against each other; null where they agree. */
internal fun whyNoConcepts(manifest: Manifest): String? {
    val names = manifest.concepts.map { it.name }
    val default = manifest.defaultConcept
    if (names.distinctBy { it.lowercase() }.size != names.size) {
        return "two concepts have the same name (upper and lower case count as equal)"
    }
    if ((default == null) != names.isEmpty()) return "concepts and default_concept go together"
    if (default != null && default !in names) return "default_concept $default is not among the concepts"
    for (concept in manifest.concepts) {
        if (concept.forms.isNotEmpty() == (concept.name == default)) {
            return "concept ${concept.name}: all but the default have forms, and it has none"
        }
        whyNoForms(manifest, concept)?.let { return it }
    }
    val golden = manifest.golden.associateBy { it.id }
    val astray = manifest.golden.firstOrNull { set ->
        set.inputsOf != null && golden[set.inputsOf].let { it == null || it.inputsOf != null }
    }
    return astray?.let { "golden set ${it.id} takes its inputs of ${it.inputsOf}, which has none of its own" }
}

private fun whyNoForms(manifest: Manifest, concept: Concept): String? {
    val entries = manifest.entries.associateBy { it.id }
    val golden = manifest.golden.map { it.id }.toSet()
    if (concept.forms.distinctBy { it.entry }.size != concept.forms.size) {
        return "concept ${concept.name} has two forms of one entry"
    }
    for (form in concept.forms) {
        val entry = entries[form.entry]
        if (entry == null || form.golden !in golden) {
            return "concept ${concept.name} names entry ${form.entry} or golden set ${form.golden}, no such"
        }
        val files = entry.components.flatMap { component -> component.files.map { it.path } }
        if (form.way != ConceptForm.Way.FUNCTION && form.name !in files) {
            return "concept ${concept.name} names ${form.name}, which is no file of entry ${form.entry}"
        }
    }
    return null
}
