@file:OptIn(ExperimentalSerializationApi::class)

package pocketgan.json

import kotlinx.serialization.ExperimentalSerializationApi
import kotlinx.serialization.KSerializer
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonObject

/** What is wrong with a document, in the order of its model; never empty. */
class InvalidException(val violations: List<Violation>) : Exception(violations.joinToString("; "))

/** How all of this harness writes models: whole, so that a reader sees which defaults were meant. */
val MODEL_JSON = Json { encodeDefaults = true }

/**
 * The model in [value]. Where [dropsUnknown] (the document is of another minor version than this reader) and nothing
 * else is wrong, fields that the model does not know are left out.
 *
 * @throws InvalidException everything that is wrong.
 */
fun <T> decode(value: JsonElement, serializer: KSerializer<T>, dropsUnknown: Boolean): T {
    val found = violations(value, serializer.descriptor)
    if (found.isEmpty()) return MODEL_JSON.decodeFromJsonElement(serializer, value)
    if (!dropsUnknown || !found.all { it.isUnknownField }) throw InvalidException(found)
    val known = found.fold(value) { left, violation -> without(left, violation.place) }
    return MODEL_JSON.decodeFromJsonElement(serializer, known)
}

private fun without(value: JsonElement, place: List<String>): JsonElement {
    val (key, rest) = place.first() to place.drop(1)
    return when {
        value is JsonObject && rest.isEmpty() -> JsonObject(value - key)
        value is JsonObject -> JsonObject(value + (key to without(value.getValue(key), rest)))
        value is JsonArray ->
            JsonArray(value.mapIndexed { at, item -> if ("$at" == key) without(item, rest) else item })
        else -> value
    }
}
