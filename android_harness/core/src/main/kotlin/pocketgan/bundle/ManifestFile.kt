package pocketgan.bundle

import java.math.BigInteger
import java.nio.ByteBuffer
import java.nio.charset.CharacterCodingException
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import pocketgan.json.InvalidException
import pocketgan.json.JsonProblem
import pocketgan.json.StrictJson
import pocketgan.json.decode
import pocketgan.json.isPrintable
import pocketgan.json.quote

const val MAX_MANIFEST_BYTES = 8 shl 20
private const val MOST_PROBLEMS_SHOWN = 3
private const val LONGEST_PROBLEM = 300
private val VERSION = Regex("[0-9]{1,4}\\.[0-9]{1,4}")

/**
 * The manifest in [data]. Fields that a later minor version added are left out.
 *
 * @throws DamageException what is wrong, on one line; other exceptions of hostile JSON too: call it within [reading].
 */
fun readManifest(data: ByteArray): Manifest {
    if (data.size > MAX_MANIFEST_BYTES) {
        throw DamageException("$MANIFEST is too large (${data.size} bytes; at most $MAX_MANIFEST_BYTES)")
    }
    val text = try {
        utf8(data)
    } catch (error: CharacterCodingException) {
        throw DamageException("$MANIFEST is not UTF-8: ${error.message}")
    }
    val document = try {
        StrictJson(text).read()
    } catch (problem: JsonProblem.Syntax) {
        throw DamageException("$MANIFEST is not JSON: ${problem.message}")
    } catch (problem: JsonProblem.Ambiguous) {
        throw DamageException("$MANIFEST ${problem.message}")
    }
    val value = document.value as? JsonObject ?: throw DamageException("$MANIFEST is not a JSON object")
    val version = value["format_version"]
    mustBeReadable(version)
    document.flaw?.let { throw DamageException("$MANIFEST is not valid: Invalid JSON: $it") }
    val manifest = try {
        decode(value, Manifest.serializer(), dropsUnknown = version != JsonPrimitive(FORMAT_VERSION))
    } catch (invalid: InvalidException) {
        throw DamageException(oneLine(invalid))
    }
    whyContradictory(manifest)?.let { throw DamageException("$MANIFEST is not valid: $it") }
    return manifest
}

/** Text of bytes that are UTF-8 throughout. */
internal fun utf8(data: ByteArray): String = Charsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(data)).toString()

/** Golden tensors whose size is not that of their shape, and tensors of one set with the same name. */
fun shapeProblems(manifest: Manifest): List<String> = buildList {
    for (golden in manifest.golden) {
        for (side in listOf(golden.inputs, golden.outputs)) {
            if (side.distinctBy { it.name }.size != side.size) {
                add("golden set ${golden.id} has two tensors of the same name")
            }
            for (tensor in side) {
                val needed = tensorBytes(tensor)
                if (BigInteger.valueOf(tensor.file.bytes) == needed) continue
                val dtype = tensor.dtype.name.lowercase()
                val stated = "${tensor.file.path} has ${tensor.file.bytes} bytes"
                add("$stated, but $dtype of shape ${tensor.shape} needs $needed")
            }
        }
    }
}

private fun tensorBytes(tensor: GoldenTensor): BigInteger =
    tensor.shape.fold(BigInteger.valueOf(tensor.dtype.bytes.toLong())) { size, length ->
        size * BigInteger.valueOf(length)
    }

private fun mustBeReadable(stated: JsonElement?) {
    val version = (stated as? JsonPrimitive)?.takeIf { it.isString }?.content
    if (version == null || !VERSION.matches(version)) {
        throw DamageException("$MANIFEST states no format version such as $FORMAT_VERSION")
    }
    val (major, ours) = listOf(version, FORMAT_VERSION).map { it.substringBefore(".").toInt() }
    if (major > ours) {
        throw DamageException(
            "has format version $version, which is newer than this pocketgan reads ($ours.x); " +
                "upgrade pocketgan: pip install -U pocketgan",
        )
    }
    if (major < ours) {
        throw DamageException("has format version $version, which never was; this pocketgan reads $ours.x")
    }
}

private fun oneLine(invalid: InvalidException): String {
    val shown = invalid.violations.take(MOST_PROBLEMS_SHOWN).map { violation ->
        val text = violation.toString()
        val fits = isPrintable(text) && text.codePointCount(0, text.length) < LONGEST_PROBLEM
        if (fits) text else quote(text)
    }
    val left = invalid.violations.size - MOST_PROBLEMS_SHOWN
    return "$MANIFEST is not valid: ${shown.joinToString("; ")}${if (left > 0) " (and $left more)" else ""}"
}

/** What fields say against each other; null where they agree. */
private fun whyContradictory(manifest: Manifest): String? {
    if (manifest.entries.distinctBy { it.id.lowercase() }.size != manifest.entries.size) {
        return "two entries have the same id (upper and lower case count as equal)"
    }
    val golden = manifest.golden.map { it.id }.toSet()
    if (golden.size != manifest.golden.size) return "two golden sets have the same id"
    manifest.entries.firstOrNull { it.golden !in golden }?.let { entry ->
        return "entry ${entry.id} names golden set ${entry.golden}, which is not there"
    }
    return whyMisplaced(manifest) ?: whyColliding(manifest.files().map { it.path }) ?: whyNoConcepts(manifest)
}

private fun whyMisplaced(manifest: Manifest): String? {
    val places = manifest.entries.flatMap { entry -> entry.components.map { "models/${entry.id}/" to it.files } } +
        manifest.golden.map { set -> "golden/" to (set.inputs + set.outputs).map { it.file } } +
        listOf("LICENSES/" to manifest.licenses)
    for ((prefix, files) in places) {
        val astray = files.firstOrNull { !it.path.startsWith(prefix) } ?: continue
        return "file ${astray.path} does not lie under $prefix"
    }
    return null
}

/** Why two paths would meet on a file system that ignores case, or a file is another's folder. */
private fun whyColliding(paths: List<String>): String? {
    val files = HashSet<String>()
    val folders = HashMap<String, String>()
    for (path in paths) {
        if (!files.add(path.lowercase())) {
            return "two files have the same path $path (upper and lower case count as equal)"
        }
        val parts = path.split("/")
        for (depth in 1 until parts.size) {
            val folder = parts.take(depth).joinToString("/")
            val first = folders.getOrPut(folder.lowercase()) { folder }
            if (first != folder) return "folder $folder is also written $first"
        }
    }
    return paths.firstOrNull { it.lowercase() in folders }?.let { "$it is a file and a folder" }
}
