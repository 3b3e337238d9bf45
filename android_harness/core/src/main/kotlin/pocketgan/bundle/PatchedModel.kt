package pocketgan.bundle

import java.nio.file.Files
import java.nio.file.Path
import pocketgan.json.quote

/** Factors have a hundredth of their network's numbers; they lie in memory as a whole. */
private const val MAX_PATCH_BYTES = 32 shl 20

/**
 * The file on the disk by which [drawing] draws [component] where that is a patch of another; null where it is none.
 *
 * @throws BundleException the patch is damaged, of another file, or makes a model that names other files.
 */
fun patchedFile(bundle: Bundle, drawing: Drawing, component: Component, patched: PatchedFiles): Path? {
    val name = drawing.patch(component) ?: return null
    return reading(bundle.path) {
        val model = drawing.model(component)
        val target = component.files.firstOrNull { it.path == model }
            ?: throw DamageException("is of a folder, and only files can be patched", name)
        val steps = patchSteps(name) { read(bundle, component, it) }
        if (steps.any { it.plan.targetSha256 != target.sha256 || it.plan.targetBytes != target.bytes }) {
            throw DamageException("belongs to another file than $model", name)
        }
        about(name) {
            val file = patched.file(bundle.path.resolve(model), steps)
            // A patch can change any byte, so those of names too.
            if (drawing.entry.runtime == OPENS_NAMED_FILES) {
                Files.newInputStream(file).use { mustNameListedFiles(model, it, emptyMap()) }
            }
            file
        }
    }
}

/** The patch of that path, after the one that it wants put in before it; [read] gives the bytes of each. */
internal fun patchSteps(name: String, read: (String) -> ByteArray): List<Patch> {
    val last = read(name).let { about(name) { Patch(it) } }
    val wanted = last.plan.first ?: return listOf(last)
    if ('/' in wanted) throw DamageException("names a patch outside of its folder: ${quote(wanted)}", name)
    val path = name.replaceAfterLast('/', wanted, missingDelimiterValue = wanted)
    val first = read(path).let { about(path) { Patch(it) } }
    if (first.plan.first != null) throw DamageException("wants a patch put in before it that wants another one", name)
    if (first.plan.targetSha256 != last.plan.targetSha256) {
        throw DamageException("wants a patch of another file put in before it", name)
    }
    return listOf(first, last)
}

private fun read(bundle: Bundle, component: Component, name: String): ByteArray {
    val record = component.files.firstOrNull { it.path == name && it.path in bundle.there }
        ?: throw DamageException("misses ${quote(name)}")
    if (record.bytes > MAX_PATCH_BYTES) {
        throw DamageException("is too large for a patch (${record.bytes} bytes; at most $MAX_PATCH_BYTES)", name)
    }
    return bundle.read(name)
}

private fun DamageException(what: String, name: String) = DamageException("$name $what")

private inline fun <T> about(name: String, work: () -> T): T =
    try {
        work()
    } catch (damage: DamageException) {
        throw DamageException("${damage.message}", name)
    }
