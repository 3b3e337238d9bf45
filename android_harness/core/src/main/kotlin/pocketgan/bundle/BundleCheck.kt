package pocketgan.bundle

import java.nio.file.Path

/**
 * Every problem found in the bundle, all hashes and the signature included; empty for a sound one.
 *
 * @throws BundleException there is nothing at [path] that could be a bundle.
 */
fun checkBundle(path: Path): List<String> {
    mustLookLikeBundle(path)
    val problems = ArrayList<String>()
    try {
        reading(path) {
            opened(path) {}.use { bundle ->
                problems += bundle.listingProblems()
                val damaged = contentProblems(bundle, bundle.manifest.files().filter { it.path in bundle.there })
                problems += damaged.ifEmpty { namedFileProblems(bundle) }
                judgeSignature(bundle.manifestBytes, bundle.signatureBytes).problem?.let { problems += it }
            }
        }
    } catch (none: NotABundleException) {
        throw none
    } catch (error: BundleException) {
        problems += reasonOf(error, path)
    }
    return problems
}

/** Those of [files] whose content is not what the manifest says, one line each. */
internal fun contentProblems(bundle: Bundle, files: Collection<FileRecord>): List<String> {
    val buffer = ByteArray(CHUNK_BYTES)
    return files.mapNotNull { record ->
        try {
            reading(bundle.path) { bundle.open(record.path).use { while (it.read(buffer) >= 0) Unit } }
            null
        } catch (error: BundleException) {
            reasonOf(error, bundle.path)
        }
    }
}

/** What is wrong, without whose it is. */
internal fun reasonOf(error: BundleException, path: Path): String = "${error.message}".removePrefix("$path: ")
