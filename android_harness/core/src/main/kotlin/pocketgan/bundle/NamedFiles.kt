package pocketgan.bundle

/** The runtime that opens what its models name; those of others are whole. */
private const val OPENS_NAMED_FILES = "onnxruntime"

/**
 * What is wrong with the files that the models of [entries] name, one line each.
 *
 * @throws DamageException a file is damaged.
 */
internal fun namedFileProblems(bundle: Bundle, entries: Collection<Entry>): List<String> = buildList {
    for (entry in entries.filter { it.runtime == OPENS_NAMED_FILES }) {
        val sizes = entry.components.flatMap { it.files }.associate { it.path to it.bytes }
        // What the runtime opens; other files are weights, which it reads as bytes.
        val models = entry.components.map { it.entryPoint }.filter { it in sizes }.toSortedSet()
        for (name in models) {
            try {
                bundle.open(name).use { mustNameListedFiles(name, it, sizes) }
            } catch (damage: DamageException) {
                add("$name ${damage.message}")
            }
        }
    }
}
