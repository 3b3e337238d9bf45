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
 * Verify size and hash of every file that running [entry] needs to draw [concept], or what it draws as it stands where
 * that is null: its models, or those of one [component] of it, and its golden tensors; and that its models name no other
 * files.
 *
 * @throws BundleException the first thing that is wrong, on one line.
 */
fun mustHoldFilesOf(bundle: Bundle, entry: Entry, component: String?, concept: String?) = reading(bundle.path) {
    val parts = entry.components.filter { component == null || it.name == component }
    mustHold(bundle, parts, listOf(drawing(bundle.manifest, entry, concept)))
}

/**
 * The same of every concept that [entry] draws.
 *
 * @throws BundleException the first thing that is wrong, on one line.
 */
fun mustHoldAllFilesOf(bundle: Bundle, entry: Entry) = reading(bundle.path) {
    val names = bundle.manifest.concepts.filter { concept -> concept.forms.any { it.entry == entry.id } }.map { it.name }
    mustHold(bundle, entry.components, (listOf(null) + names).map { drawing(bundle.manifest, entry, it) })
}

private fun mustHold(bundle: Bundle, components: List<Component>, drawings: List<Drawing>) {
    val golden = drawings.flatMap { it.inputs + it.outputs }.map { it.file }
    // What concepts share is hashed once.
    val files = (components.flatMap { part -> drawings.flatMap { it.files(part) } } + golden).distinct()
    files.firstOrNull { it.path !in bundle.there }?.let { throw DamageException("misses ${it.path}") }
    val problem = bundle.sizeProblems(files).firstOrNull()
        ?: contentProblems(bundle, files).firstOrNull()
        ?: components.firstNotNullOfOrNull { part -> whyNamesOthers(bundle, part, drawings) }
    if (problem != null) throw DamageException(problem)
}

private fun whyNamesOthers(bundle: Bundle, component: Component, drawings: List<Drawing>): String? {
    val models = drawings.mapNotNull { modelOf(it, component) } + component.entryPoint
    val files = drawings.flatMap { it.files(component) }.distinct()
    return namedFileProblems(bundle, drawings.first().entry, models, files).firstOrNull()
}

/** A runtime that opens no ONNX file may open a folder, or name its file otherwise. */
private fun modelOf(drawing: Drawing, component: Component): String? =
    try {
        drawing.model(component)
    } catch (none: DamageException) {
        null
    }
