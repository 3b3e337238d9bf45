package pocketgan.bundle

import java.nio.file.Path

/**
 * Open a bundle of a session folder: manifest, signature and the files of some entries, nothing else. The manifest is
 * verified here, the files by [mustHoldFilesOf].
 *
 * @param path its folder.
 * @param digest hex SHA-256 that its manifest must have.
 * @throws BundleException what is wrong, on one line.
 */
fun openSessionBundle(path: Path, digest: String): Bundle = reading(path) {
    mustLookLikeBundle(path)
    opened(path) { bundle ->
        if (bundle.digest != digest) throw DamageException("is bundle ${bundle.digest}, not the one that was asked for")
        judgeSignature(bundle.manifestBytes, bundle.signatureBytes).problem?.let { throw DamageException(it) }
        shapeProblems(bundle.manifest).firstOrNull()?.let { throw DamageException(it) }
    }
}

/**
 * Verify size and hash of every file that running [entry] needs: its models, or those of one [component] of it, and its
 * golden tensors; and that its models name no other files.
 *
 * @throws BundleException the first thing that is wrong, on one line.
 */
fun mustHoldFilesOf(bundle: Bundle, entry: Entry, component: String?) = reading(bundle.path) {
    val parts = entry.components.filter { component == null || it.name == component }
    val golden = bundle.manifest.golden.filter { it.id == entry.golden }
    val files = parts.flatMap { it.files } + golden.flatMap { set -> (set.inputs + set.outputs).map { it.file } }
    files.firstOrNull { it.path !in bundle.there }?.let { throw DamageException("misses ${it.path}") }
    val problem = bundle.sizeProblems(files).firstOrNull()
        ?: contentProblems(bundle, files).firstOrNull()
        ?: namedFileProblems(bundle, listOf(entry.copy(components = parts))).firstOrNull()
    if (problem != null) throw DamageException(problem)
}
