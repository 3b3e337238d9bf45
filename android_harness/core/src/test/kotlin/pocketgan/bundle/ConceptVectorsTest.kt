package pocketgan.bundle

import java.io.File
import java.nio.file.Files
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue
import kotlinx.serialization.Serializable
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonObject
import org.junit.Rule
import org.junit.rules.TemporaryFolder

/** The vectors of packs in bench/schema/conformance, which every language runs. */
class ConceptVectorsTest {
    @get:Rule
    val temporary = TemporaryFolder()

    @Serializable
    private class PatchCases(val about: String, val cases: List<PatchCase>)

    @Serializable
    private class PatchCase(
        val name: String,
        val target: String,
        val patch: String,
        val patches: Map<String, String>,
        val result: String? = null,
        val refused: Boolean = false,
    )

    @Serializable
    private class ConceptCases(val about: String, val manifests: Map<String, JsonObject>, val cases: List<ConceptCase>)

    @Serializable
    private class ConceptCase(
        val manifest: String,
        val entry: String,
        val component: String?,
        val concept: String?,
        val model: String? = null,
        val patch: String? = null,
        val function: String? = null,
        val files: List<String> = emptyList(),
        val inputs: List<String> = emptyList(),
        val outputs: List<String> = emptyList(),
        val refused: String? = null,
    )

    private fun vectors(name: String) = File(System.getProperty("pocketgan.schema"), "conformance/$name.json").readText()

    @Test
    fun `a patch makes of a file what the vectors say`() {
        val cases = Json.decodeFromString<PatchCases>(vectors("patch")).cases
        for ((number, case) in cases.withIndex()) {
            val target = temporary.newFile("$number.pte").apply { writeBytes(bytes(case.target)) }
            val patched = PatchedFiles(temporary.root.toPath().resolve("patched$number"))
            val make = {
                val steps = patchSteps(case.patch) { bytes(case.patches[it] ?: throw DamageException("misses $it")) }
                patched.file(target.toPath(), steps)
            }
            if (case.refused) {
                assertFailsWith<DamageException>(case.name) { make() }
            } else {
                assertEquals(case.result, hex(Files.readAllBytes(make())), case.name)
            }
        }
        assertTrue(cases.size > 30)
    }

    @Test
    fun `a concept is drawn as the vectors say`() {
        val vectors = Json.decodeFromString<ConceptCases>(vectors("concepts"))
        for (case in vectors.cases) {
            val manifest = readManifest("${vectors.manifests.getValue(case.manifest)}".toByteArray())
            val entry = manifest.entries.single { it.id == case.entry }
            val name = "${case.entry} ${case.concept}"
            if (case.refused != null) {
                val refused = assertFailsWith<DamageException>(name) { drawing(manifest, entry, case.concept) }
                assertTrue(refused.message!!.startsWith(case.refused), refused.message)
                continue
            }
            val drawing = drawing(manifest, entry, case.concept)
            val component = entry.components.first { case.component == null || it.name == case.component }
            assertEquals(case.model, drawing.model(component), name)
            assertEquals(case.patch, drawing.patch(component), name)
            assertEquals(case.function, drawing.function, name)
            assertEquals(case.files, drawing.files(component).map { it.path }, name)
            assertEquals(case.inputs, drawing.inputs.map { it.file.path }, name)
            assertEquals(case.outputs, drawing.outputs.map { it.file.path }, name)
        }
    }

    private fun bytes(digits: String) = ByteArray(digits.length / 2) { digits.substring(2 * it, 2 * it + 2).toInt(16).toByte() }
}
