package pocketgan.bundle

/** The runtime that opens what its models name; those of others are whole. */
internal const val OPENS_NAMED_FILES = "onnxruntime"

/**
 * What is wrong with the files that the models of the bundle name, one line each.
 *
 * @throws DamageException a file is damaged.
 */
internal fun namedFileProblems(bundle: Bundle): List<String> = bundle.manifest.entries.flatMap { entry ->
    val files = entry.components.flatMap { it.files }
    val forms = bundle.manifest.concepts.flatMap { it.forms }.filter { it.entry == entry.id }
    // What the runtime opens; other files are weights, which it reads as bytes.
    val models = entry.components.map { it.entryPoint } +
        forms.filter { it.way == ConceptForm.Way.MODEL }.map { it.name }
    namedFileProblems(bundle, entry, models, files)
}

/** The same of those [models] of [entry] that are among its [files]. */
internal fun namedFileProblems(
    bundle: Bundle, entry: Entry, models: List<String>, files: List<FileRecord>,
): List<String> = buildList {
    if (entry.runtime != OPENS_NAMED_FILES) return@buildList
    val sizes = files.associate { it.path to it.bytes }
    for (name in models.filter { it in sizes }.toSortedSet()) {
        try {
            bundle.open(name).use { mustNameListedFiles(name, it, sizes) }
        } catch (damage: DamageException) {
            add("$name ${damage.message}")
        }
    }
}
