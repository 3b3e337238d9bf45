package pocketgan.onnxruntime

import java.nio.file.Files
import java.nio.file.Path
import kotlinx.serialization.SerializationException
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive

private const val MOST_PROFILE_BYTES = 64L shl 20

/**
 * How many nodes each provider ran, by ONNX Runtime's own profile of a run; null where it does not tell. The native
 * runner counts alike.
 */
internal fun nodesByProvider(profile: Path): Map<String, Long>? {
    if (Files.size(profile) > MOST_PROFILE_BYTES) return null
    val events = try {
        Json.parseToJsonElement(String(Files.readAllBytes(profile))) as? JsonArray ?: return null
    } catch (problem: SerializationException) {
        return null
    }
    val nodes = HashMap<String, MutableSet<String>>()
    for (event in events) {
        val fields = event as? JsonObject ?: continue
        val provider = (fields["args"] as? JsonObject)?.text("provider") ?: continue
        // A node comes once for each run, and as often as it has phases.
        if (fields.text("cat") == "Node") nodes.getOrPut(provider) { HashSet() } += fields.text("name") ?: continue
    }
    return nodes.mapValues { (_, names) -> names.size.toLong() }.takeIf { it.isNotEmpty() }
}

private fun JsonObject.text(name: String): String? = (get(name) as? JsonPrimitive)?.takeIf { it.isString }?.content
