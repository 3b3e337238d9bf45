package pocketgan.session

import java.io.File
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertTrue
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import org.junit.Rule
import org.junit.rules.TemporaryFolder
import pocketgan.measure.Cancellation
import pocketgan.measure.FakeEngine
import pocketgan.measure.Measurement
import pocketgan.measure.ScriptedClock
import pocketgan.measure.Surroundings
import pocketgan.measure.TinyBundle
import pocketgan.schema.AppBuild
import pocketgan.schema.Conditions
import pocketgan.schema.DeviceInfo
import pocketgan.schema.DeviceKind
import pocketgan.schema.Group
import pocketgan.schema.Session

class SessionRunTest {
    @get:Rule
    val temporary = TemporaryFolder()

    private val folder: File get() = temporary.root
    private val results: File get() = File(folder, "results.jsonl")
    private val clock = ScriptedClock()
    private val engine = FakeEngine(clock)
    private val cancellation = Cancellation()

    private val phone = object : Surroundings {
        override val info = DeviceInfo("phone", "P", DeviceKind.ANDROID, "Android 16", "B", "C", 8, 1)
        override val appBuild = AppBuild.RELEASE

        override fun conditions() = Conditions(clock.now())

        override fun sleep(seconds: Double) = clock.passes((seconds * 1e9).toLong())
    }

    private fun bundle(name: String) = TinyBundle(File(folder, "bundles"), name)

    private fun ask(vararg groups: List<TinyBundle>) {
        val session = Session(name = "s", groups = groups.map { group -> Group(group.map { it.job() }) })
        File(folder, "session.json").writeText(Json.encodeToString(Session.serializer(), session))
    }

    private fun carryOut(): Boolean = SessionRun(SessionFolder(folder.toPath()), clock) { session, progress ->
        Measurement(session, "p", listOf(engine), phone, clock, cancellation = cancellation, progress = progress)
    }.carryOut() == null

    private fun records(): List<JsonObject> = results.readLines().map { Json.parseToJsonElement(it).jsonObject }

    private fun JsonObject.text(key: String) = getValue(key).jsonPrimitive.content

    private fun measuredBundles() = records().filter { it.text("record") == "result" }.map { it.text("bundle_name") }

    @Test
    fun `results come in the order of the Jobs, beats in between, the end last`() {
        ask(listOf(bundle("a"), bundle("b")), listOf(bundle("c")))
        assertTrue(carryOut())
        assertEquals(listOf("a", "b", "c"), measuredBundles())
        val kinds = records().map { it.text("record") }
        assertEquals("beat", kinds.first())
        assertEquals("end", kinds.last())
        assertEquals("null", records().last().text("error"))
        // Loads take a second each on the scripted clock, frames a thousandth.
        assertTrue(kinds.count { it == "beat" } in 3..9)
    }

    @Test
    fun `a session that was cut goes on after what is answered, and a half line stays a line of its own`() {
        ask(listOf(bundle("a")), listOf(bundle("b")))
        assertTrue(carryOut())
        val (first, second) = results.readLines().filter { "\"result\"" in it }
        results.writeText("$first\n${second.take(200)}")
        engine.ran.clear()
        assertTrue(carryOut())
        assertEquals(setOf("b"), engine.ran.toSet())
        val lines = results.readLines()
        assertEquals(listOf(first, second.take(200)), lines.take(2))
        assertEquals("end", Json.parseToJsonElement(lines.last()).jsonObject.text("record"))
        results.writeText(lines.filterIndexed { at, _ -> at != 1 }.joinToString("\n", postfix = "\n"))
        assertEquals(listOf("a", "b"), measuredBundles())
    }

    @Test
    fun `a bundle that is compared with itself is answered twice, also after a cut between the two`() {
        val bundle = bundle("a")
        ask(listOf(bundle, bundle))
        assertTrue(carryOut())
        assertEquals(listOf("a", "a"), measuredBundles())
        results.writeText(results.readLines().first { "\"result\"" in it } + "\n")
        assertTrue(carryOut())
        assertEquals(listOf("a", "a"), measuredBundles())
    }

    @Test
    fun `answers of another session count for nothing`() {
        ask(listOf(bundle("a")))
        assertTrue(carryOut())
        results.writeText(results.readText().replace("\"session\":\"s\"", "\"session\":\"t\""))
        engine.ran.clear()
        assertTrue(carryOut())
        assertEquals(setOf("a"), engine.ran.toSet())
    }

    @Test
    fun `a cancelled session keeps what was done and says so at the end`() {
        ask(listOf(bundle("a")), listOf(bundle("b")))
        engine.factor = { model, _ -> if (model == "b") cancellation.cancel().let { 2f } else 2f }
        assertFalse(carryOut())
        assertEquals(listOf("a"), measuredBundles())
        assertEquals("cancelled", records().last().text("error"))
    }

    @Test
    fun `a bundle that is not the asked one ends the session in one line`() {
        val bundle = bundle("a")
        ask(listOf(bundle))
        File(bundle.folder, "manifest.json").appendText(" ")
        assertFalse(carryOut())
        assertTrue("not the one that was asked for" in records().last().text("error"))
        assertEquals(emptyList(), engine.ran)
    }

    @Test
    fun `a session of a newer major version is refused in one line`() {
        File(folder, "session.json").writeText("""{"schema_version": "2.0", "name": "s", "groups": []}""")
        assertFalse(carryOut())
        assertTrue(records().last().text("error").startsWith("session.json is not valid: schema_version"))
    }

    @Test
    fun `a session that is not there ends in one line`() {
        assertFalse(carryOut())
        assertTrue("session.json" in records().single().text("error"))
    }

    @Test
    fun `a Job that fails is answered with its error`() {
        ask(listOf(bundle("a"), bundle("b")))
        engine.factor = { model, _ -> if (model == "a") 0f else 2f }
        assertTrue(carryOut())
        val errors = records().filter { it.text("record") == "result" }.map { it.getValue("errors").jsonArray.size }
        assertEquals(listOf(1, 0), errors)
    }
}
