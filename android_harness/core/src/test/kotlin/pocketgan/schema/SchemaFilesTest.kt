@file:OptIn(ExperimentalSerializationApi::class)

package pocketgan.schema

import java.io.File
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlinx.serialization.ExperimentalSerializationApi
import kotlinx.serialization.descriptors.SerialDescriptor
import kotlinx.serialization.descriptors.SerialKind
import kotlinx.serialization.descriptors.StructureKind
import kotlinx.serialization.descriptors.elementNames
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import pocketgan.bundle.FORMAT_VERSION
import pocketgan.bundle.Manifest
import pocketgan.json.MODEL_JSON

/** The models have the fields and values of the JSON Schema files, no more and no fewer. */
class SchemaFilesTest {
    private val folder = File(System.getProperty("pocketgan.schema"))

    @Test
    fun `a manifest is what its schema says`() = mustMatch("manifest", Manifest.serializer().descriptor)

    @Test
    fun `a Job is what its schema says`() = mustMatch("job", Job.serializer().descriptor)

    @Test
    fun `a Result is what its schema says`() = mustMatch("result", Result.serializer().descriptor)

    @Test
    fun `a Session is what its schema says`() = mustMatch("session", Session.serializer().descriptor)

    @Test
    fun `the versions that are known whole are those of the schemas`() {
        val stated = listOf("manifest" to "format_version", "job" to "schema_version", "session" to "schema_version")
        val versions = stated.map { (kind, field) ->
            val version = schema(kind).getValue("properties").jsonObject.getValue(field).jsonObject
            version.getValue("default").jsonPrimitive.content
        }
        assertEquals(listOf(FORMAT_VERSION, SCHEMA_VERSION, SESSION_VERSION), versions)
    }

    @Test
    fun `valid examples come out of the models as they went in`() {
        val examples = File(folder, "examples").listFiles().orEmpty().filter { it.name.startsWith("valid-") }
        val kinds = examples.groupBy { it.name.split("-")[1] }
        assertEquals(setOf("manifest", "job", "result", "session"), kinds.keys)
        for (file in kinds.getValue("job")) {
            same(file, MODEL_JSON.encodeToJsonElement(Job.serializer(), readJob(file.readText())))
        }
        for (file in kinds.getValue("result")) {
            same(file, MODEL_JSON.encodeToJsonElement(Result.serializer(), readResult(file.readText())))
        }
        for (file in kinds.getValue("session")) {
            same(file, MODEL_JSON.encodeToJsonElement(Session.serializer(), readSession(file.readText())))
        }
    }

    private fun schema(kind: String) = Json.parseToJsonElement(File(folder, "$kind.schema.json").readText()).jsonObject

    private fun mustMatch(kind: String, model: SerialDescriptor) {
        val root = schema(kind)
        Comparison(root["\$defs"]?.jsonObject.orEmpty()).objects(root, model)
    }

    private class Comparison(private val definitions: Map<String, JsonElement>) {
        fun objects(schema: JsonObject, model: SerialDescriptor) {
            val properties = schema.getValue("properties").jsonObject
            assertEquals(properties.keys, model.elementNames.toSet(), model.serialName)
            val required = schema["required"]?.jsonArray.orEmpty().map { it.jsonPrimitive.content }.toSet()
            val needed = (0 until model.elementsCount).filterNot(model::isElementOptional)
            assertEquals(required, needed.map(model::getElementName).toSet(), model.serialName)
            for (index in 0 until model.elementsCount) {
                val name = model.getElementName(index)
                val place = "${model.serialName}.$name"
                values(properties.getValue(name).jsonObject, model.getElementDescriptor(index), place)
            }
        }

        private fun values(schema: JsonObject, model: SerialDescriptor, place: String) {
            val choices = schema["anyOf"]?.jsonArray?.map { it.jsonObject } ?: listOf(schema)
            val isNull = { choice: JsonObject -> choice["type"] == JsonPrimitive("null") }
            assertEquals(choices.any(isNull), model.isNullable, place)
            val stated = choices.single { !isNull(it) }
            val reference = stated["\$ref"]?.jsonPrimitive?.content
            val one = reference?.let { definitions.getValue(it.substringAfterLast("/")).jsonObject } ?: stated
            when (model.kind) {
                StructureKind.CLASS -> objects(one, model)
                StructureKind.LIST -> one["items"]?.let { values(it.jsonObject, model.getElementDescriptor(0), place) }
                StructureKind.MAP -> {
                    val items = one["additionalProperties"] as? JsonObject
                    if (items != null) values(items, model.getElementDescriptor(1), place)
                }
                SerialKind.ENUM -> {
                    val allowed = one["enum"]?.jsonArray ?: JsonArray(listOf(one.getValue("const")))
                    assertEquals(allowed.map { it.jsonPrimitive.content }, model.elementNames.toList(), place)
                }
                else -> Unit
            }
        }
    }

    private fun same(file: File, written: JsonElement) =
        mustHold(Json.parseToJsonElement(file.readText()), written, file.name)

    /** All of [given] stands in [written], which also states what is left to defaults. */
    private fun mustHold(given: JsonElement, written: JsonElement, place: String) {
        when (given) {
            is JsonObject ->
                for ((key, value) in given) mustHold(value, written.jsonObject.getValue(key), "$place.$key")
            is JsonArray -> {
                assertEquals(given.size, written.jsonArray.size, place)
                given.forEachIndexed { at, value -> mustHold(value, written.jsonArray[at], "$place.$at") }
            }
            is JsonPrimitive -> assertEquals(numberOrText(given), numberOrText(written.jsonPrimitive), place)
        }
    }

    private fun numberOrText(value: JsonPrimitive): Any =
        (if (value.isString) null else value.content.toBigDecimalOrNull()?.stripTrailingZeros()) ?: value.content
}
