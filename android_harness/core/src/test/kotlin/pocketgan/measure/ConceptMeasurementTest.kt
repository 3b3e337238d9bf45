package pocketgan.measure

import java.io.File
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertTrue
import org.junit.Rule
import org.junit.rules.TemporaryFolder
import pocketgan.bundle.openSessionBundle
import pocketgan.schema.AppBuild
import pocketgan.schema.Conditions
import pocketgan.schema.DeviceInfo
import pocketgan.schema.DeviceKind
import pocketgan.schema.MeasuredParity
import pocketgan.schema.Result

/** Jobs that name a concept of a pack. */
class ConceptMeasurementTest {
    @get:Rule
    val temporary = TemporaryFolder()

    private val clock = ScriptedClock()
    private val engine = FakeEngine(clock).apply {
        factor = { model, _ -> mapOf("ink" to 3f, "soft" to 5f).getOrDefault(model, 2f) }
    }
    private val pack by lazy { TinyBundle(temporary.root, isPack = true) }
    private val phone = object : Surroundings {
        override val info = DeviceInfo("phone", "P", DeviceKind.ANDROID, "Android 16", "B", "C", 8, 1)
        override val appBuild = AppBuild.RELEASE

        override fun conditions() = Conditions(clock.now())

        override fun sleep(seconds: Double) = clock.passes((seconds * 1e9).toLong())
    }

    private fun measured(vararg concepts: String?, bundle: TinyBundle = pack): List<Result> {
        val opened = openSessionBundle(bundle.folder.toPath(), bundle.digest)
        val work = concepts.map { Work(bundle.job().copy(concept = it), opened) }
        return Measurement("s", "p", listOf(engine), phone, clock).measure(work)
    }

    @Test
    fun `each concept is held against its own golden output, and they take turns`() {
        val results = measured(null, "ink", "soft", "plain")
        assertEquals(List(4) { emptyList<String>() }, results.map { it.errors })
        assertEquals(List(4) { MeasuredParity(null, 0.0) }, results.map { it.parityAfter })
        assertEquals(listOf(null, "ink", "soft", "plain"), results.map { it.job.concept })
        assertEquals(listOf("tiny", "ink", "soft", "tiny"), engine.ran.take(4))
        assertEquals(1, results.map { it.process }.distinct().size)
    }

    @Test
    fun `a concept that draws as another one is wrong`() {
        engine.factor = { _, _ -> 2f }
        val (plain, ink) = measured("plain", "ink")
        assertEquals(emptyList(), plain.errors)
        assertTrue(ink.errors.single().startsWith("wrong output: "))
    }

    @Test
    fun `what a patch made is made once, beside the bundles`() {
        measured("soft")
        val made = File(temporary.root, "patched").listFiles()!!.single()
        assertEquals("soft", made.readText())
        made.setLastModified(1_000_000)
        assertEquals(emptyList(), measured("soft").single().errors)
        assertEquals(1_000_000, made.lastModified())
    }

    @Test
    fun `files of other concepts need not be there`() {
        for (path in listOf("models/fake-fp32/main/ink", "golden/ink/y.bin")) assertTrue(File(pack.folder, path).delete())
        val (soft, ink) = measured("soft", "ink")
        assertEquals(emptyList(), soft.errors)
        assertTrue("misses models/fake-fp32/main/ink" in ink.errors.single())
    }

    @Test
    fun `a damaged patch is told by its name, and nothing is made of it`() {
        File(pack.folder, "models/fake-fp32/main/soft.safetensors").appendText("!")
        val error = measured("soft").single().errors.single()
        assertTrue("models/fake-fp32/main/soft.safetensors has" in error, error)
        assertFalse(File(temporary.root, "patched").exists())
    }

    @Test
    fun `a concept that is not there says which are`() {
        assertTrue("has no concept sepia; it has: plain, ink, soft" in measured("sepia").single().errors.single())
        val plain = TinyBundle(temporary.root, name = "alone")
        assertTrue("is no pack of concepts" in measured("ink", bundle = plain).single().errors.single())
    }
}
