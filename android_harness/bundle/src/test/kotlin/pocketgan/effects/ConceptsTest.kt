package pocketgan.effects

import android.content.Context
import android.graphics.Bitmap
import android.graphics.Color
import java.io.File
import kotlin.concurrent.thread
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertNull
import kotlin.test.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.GraphicsMode

/** Packs: several effects in one bundle. */
@RunWith(RobolectricTestRunner::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class ConceptsTest {
    private val context: Context = RuntimeEnvironment.getApplication()
    private val clock = ScriptedClock()
    private val folder = File(context.noBackupFilesDir, "pocketgan/e")
    private val patched get() = File(context.cacheDir, "pocketgan/e").walk().filter { it.isFile }.toList()

    /** As it stands the negative; `half` halves, and `dark` is black, by a patch of equal length. */
    private val half = TestConcept("half") { it / 2 }
    private val dark = TestConcept("dark", model = { "D".toByteArray() }, isPatch = true) { -1f }
    private val scripts = mapOf(
        "a" to Script(4 * MS), "b" to Script(9 * MS),
        "a half" to Script(4 * MS, output = { value, _ -> value / 2 }),
        "b half" to Script(9 * MS, output = { value, _ -> value / 2 }),
        "D" to Script(4 * MS, output = { _, _ -> -1f }),
    )
    private val engine = ScriptedEngine(clock, scripts)

    private fun effects(engine: ScriptedEngine = this.engine) =
        Effects(context, listOf(engine), EffectOptions(null, allowUnsigned = true), clock)

    private fun open(bundle: ByteArray?, concept: String? = null, engine: ScriptedEngine = this.engine): Effect = onWorker {
        effects(engine).open("e", bundle?.let { BundleSource.stream("x.pgb", it.inputStream()) }, concept)
    }

    private fun pack(vararg concepts: TestConcept, ids: List<String> = listOf("a", "b")) =
        testBundle(*ids.map(::scripted).toTypedArray(), concepts = concepts.asList())

    /** What it makes of a grey of 200: of black and white at -1 and 1 that is 0.57. */
    private fun made(effect: Effect): Int {
        val picture = Bitmap.createBitmap(8, 6, Bitmap.Config.ARGB_8888).apply { eraseColor(Color.rgb(200, 200, 200)) }
        return Color.red(effect.run(picture).getPixel(3, 3))
    }

    @Test
    fun `pack tells its concepts, and draws the one that is asked for`() {
        val effect = open(pack(half, dark), concept = "half")
        val told = listOf("plain" to "as it stands", "half" to "in half", "dark" to "in dark")
        assertEquals(told, effect.concepts.map { it.name to it.text })
        assertEquals("half", effect.concept)
        // (200 / 127.5 - 1) / 2, as a level.
        assertEquals(164, made(effect))
    }

    @Test
    fun `without a name it draws the default`() {
        val effect = open(pack(half))
        assertEquals("plain" to 55, effect.concept to made(effect))
    }

    @Test
    fun `bundle of one effect has no concepts`() {
        val effect = open(testBundle(scripted("a")))
        assertNull(effect.concept)
        assertEquals(emptyList(), effect.concepts)
        val problem = assertFailsWith<EffectException> { onWorker { effect.switchTo("half") } }
        assertEquals("bundle negative has no concept half; it is no pack", problem.message)
    }

    @Test
    fun `concept is changed while it is open, and nothing is measured again`() {
        val effect = open(pack(half, dark))
        val before = clock.now()
        onWorker { effect.switchTo("half") }
        assertEquals("half" to 164, effect.concept to made(effect))
        onWorker { effect.switchTo("dark") }
        assertEquals("dark" to 0, effect.concept to made(effect))
        onWorker { effect.switchTo("plain") }
        assertEquals("plain" to 55, effect.concept to made(effect))
        assertTrue(clock.now() - before < 60 * MS)
        assertEquals(listOf("a", "a half", "D"), engine.closed.takeLast(3))
    }

    @Test
    fun `what was measured of one concept holds for the others, which must be right once`() {
        open(pack(half, dark)).close()
        val started = clock.now()
        assertEquals("a", open(null, "half").entry)
        assertEquals(4 * MS, clock.now() - started)
        open(null, "half").close()
        assertEquals(4 * MS, clock.now() - started)
    }

    @Test
    fun `concept that is drawn wrong is not switched to`() {
        val wrong = ScriptedEngine(clock, scripts + ("a half" to Script(4 * MS)))
        val effect = open(pack(half), engine = wrong)
        val problem = assertFailsWith<EffectException> { onWorker { effect.switchTo("half") } }
        assertTrue("effect e: a cannot draw half: wrong output: " in problem.message!!)
        assertEquals("plain" to 55, effect.concept to made(effect))
        assertTrue("a half" in wrong.closed)
        // Opened anew, the other entry draws it.
        assertEquals("b", open(null, "half", wrong).entry)
    }

    @Test
    fun `file of a patch is made once, and again once it was changed or is gone`() {
        open(pack(dark), "dark").close()
        val file = patched.single()
        assertEquals("D", file.readText())
        file.setLastModified(1_000_000)
        open(null, "dark").close()
        assertEquals(1_000_000, file.lastModified())
        file.writeText("x")
        assertEquals(0, made(open(null, "dark")))
        assertEquals("D", file.readText())
        file.delete()
        assertEquals(0, made(open(null, "dark")))
    }

    @Test
    fun `damaged file of a concept is found`() {
        open(pack(half), "half").close()
        folder.walk().single { it.path.endsWith("a/main/half.onnx") }.apply { writeText("a") }.setLastModified(1_000_000)
        val problem = assertFailsWith<EffectException> { open(null) }
        assertTrue("models/a/main/half.onnx" in problem.message!!)
    }

    @Test
    fun `next bundle and removal take the files of patches along`() {
        open(pack(dark), "dark").close()
        open(pack(half), "half").close()
        assertEquals(emptyList(), patched)
        open(pack(dark, half), "dark").close()
        effects().remove("e")
        assertEquals(emptyList(), patched)
    }

    @Test
    fun `concept that is not there says which are`() {
        val problem = assertFailsWith<EffectException> { open(pack(half), "sepia") }
        assertEquals("bundle negative has no concept sepia; it has: plain, half", problem.message)
    }

    @Test
    fun `last bundle goes on where the next has not the concept`() {
        open(pack(half), "half").close()
        val effect = open(testBundle(scripted("b"), name = "next"), "half")
        assertEquals("a" to "half", effect.entry to effect.concept)
        assertTrue("bundle next has no concept half" in effect.refused!!.message!!)
    }

    @Test
    fun `entry that does not draw it is left out, and what was measured of the others stays`() {
        val some = TestConcept("half", drawnBy = setOf("b")) { it / 2 }
        val effect = open(pack(some))
        assertEquals("a", effect.entry)
        val problem = assertFailsWith<EffectException> { onWorker { effect.switchTo("half") } }
        assertEquals("effect e: a does not draw half; open the effect anew with it", problem.message)
        val other = open(null, "half")
        assertEquals("b" to "it does not draw half", other.entry to other.leftOut["a"])
        val started = clock.now()
        assertEquals("a", open(null).entry)
        assertEquals(started, clock.now())
    }

    @Test
    fun `effect whose bundle was replaced keeps its concept`() {
        val effect = open(pack(half))
        open(pack(half, dark)).close()
        val problem = assertFailsWith<EffectException> { onWorker { effect.switchTo("half") } }
        assertEquals("effect e: its bundle was replaced or removed; open it anew", problem.message)
        assertEquals(55, made(effect))
    }

    @Test
    fun `closed effect is not switched, and nothing stays open`() {
        val effect = open(pack(half))
        effect.close()
        assertFailsWith<EffectException> { onWorker { effect.switchTo("half") } }
        assertEquals("a half", engine.closed.last())
    }

    @Test
    fun `runs go on while concepts change`() {
        val effect = open(pack(half))
        val seen = HashSet<Int>()
        val runner = thread { repeat(200) { seen += made(effect) } }
        while (runner.isAlive) onWorker { for (name in listOf("half", "plain")) effect.switchTo(name) }
        assertTrue((seen - setOf(55, 164)).isEmpty(), "$seen")
        assertFalse(runner.isAlive)
    }

    @Test
    fun `concepts are not changed on the main thread`() {
        val effect = open(pack(half))
        assertFailsWith<IllegalStateException> { effect.switchTo("half") }
        effect.switchTo("plain")
    }
}
