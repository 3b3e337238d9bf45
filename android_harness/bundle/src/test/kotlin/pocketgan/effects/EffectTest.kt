package pocketgan.effects

import android.graphics.Bitmap
import android.graphics.Color
import java.nio.ByteBuffer
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicInteger
import kotlin.concurrent.thread
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.GraphicsMode
import pocketgan.bundle.DType
import pocketgan.bundle.Layout
import pocketgan.measure.Engine
import pocketgan.onnxruntime.OnnxRuntimeEngine

@RunWith(RobolectricTestRunner::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class EffectTest {
    private val context = RuntimeEnvironment.getApplication()
    private val clock = ScriptedClock()

    private fun open(engine: Engine, bundle: ByteArray): Effect = onWorker {
        Effects(context, listOf(engine), EffectOptions(null, allowUnsigned = true), clock)
            .open("e", BundleSource.stream("x.pgb", bundle.inputStream()))
    }

    private fun negative() = open(OnnxRuntimeEngine(), testBundle())

    private fun bitmap(width: Int, height: Int, colour: (x: Int, y: Int) -> Int): Bitmap =
        Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888).apply {
            for (y in 0 until height) for (x in 0 until width) setPixel(x, y, colour(x, y))
        }

    private fun blank(width: Int, height: Int) = bitmap(width, height) { _, _ -> Color.BLACK }

    @Test
    fun `model runs on every pixel`() {
        val colour = { x: Int, y: Int -> Color.rgb(30 * x, 40 * y, 255 - 5 * x * y) }
        val made = negative().run(bitmap(8, 6, colour))
        for (y in 0 until 6) for (x in 0 until 8) {
            assertEquals(Color.rgb(255 - 30 * x, 255 - 40 * y, 5 * x * y), made.getPixel(x, y), "$x, $y")
        }
    }

    @Test
    fun `models that take bytes, half floats or channels last run too`() {
        // What each of them is asked: 255 - p has no integer operator of its own in ONNX; Identity shows the layout.
        for ((layout, type) in listOf(
            Layout.NHWC to DType.UINT8, Layout.NCHW to DType.UINT8, Layout.NHWC to DType.FLOAT32,
            Layout.NCHW to DType.FLOAT16, Layout.NHWC to DType.FLOAT16,
        )) {
            val effect = open(OnnxRuntimeEngine(), sameBundle(layout, type))
            val colour = { x: Int, y: Int -> Color.rgb(30 * x, 40 * y, 255 - 5 * x * y) }
            val made = effect.run(bitmap(8, 6, colour))
            for (y in 0 until 6) for (x in 0 until 8) assertEquals(colour(x, y), made.getPixel(x, y), "$layout $type $x, $y")
        }
    }

    @Test
    fun `result has the picture's size`() {
        val made = negative().run(bitmap(37, 91) { _, _ -> Color.rgb(200, 100, 0) })
        assertEquals(37 to 91, made.width to made.height)
        assertEquals(Color.rgb(55, 155, 255), made.getPixel(0, 0))
        assertEquals(Color.rgb(55, 155, 255), made.getPixel(36, 90))
    }

    @Test
    fun `what is transparent becomes white`() {
        val made = negative().run(bitmap(8, 6) { x, _ -> if (x == 0) Color.TRANSPARENT else Color.argb(51, 0, 0, 0) })
        assertEquals(Color.BLACK, made.getPixel(0, 0))
        // A fifth of black on white is 204.
        assertEquals(Color.rgb(51, 51, 51), made.getPixel(1, 0))
    }

    @Test
    fun `bitmaps of other configurations are read`() {
        val red = bitmap(8, 6) { _, _ -> Color.RED }
        for (config in listOf(Bitmap.Config.RGB_565, Bitmap.Config.HARDWARE, Bitmap.Config.RGBA_F16)) {
            val copy = red.copy(config, false) ?: continue
            assertEquals(Color.CYAN, negative().run(copy).getPixel(3, 3), "$config")
        }
    }

    @Test
    fun `camera frame becomes a picture of the size that is asked for`() {
        val (light, colour) = ByteArray(16 * 12) { 200.toByte() } to ByteArray(8 * 6) { 128.toByte() }
        val planes = listOf(light to 16, colour to 8, colour to 8).map { (bytes, stride) ->
            YuvFrame.Plane(ByteBuffer.wrap(bytes), stride, 1)
        }
        val made = blank(24, 18)
        negative().run(YuvFrame(16, 12, planes, rotationDegrees = 180), made)
        assertEquals(Color.rgb(55, 55, 55), made.getPixel(0, 0))
        assertEquals(Color.rgb(55, 55, 55), made.getPixel(23, 17))
    }

    @Test
    fun `result needs a bitmap that can be drawn into`() {
        val effect = negative()
        val picture = blank(8, 6)
        val unusable = listOf(
            blank(8, 6).copy(Bitmap.Config.ARGB_8888, false),
            Bitmap.createBitmap(8, 6, Bitmap.Config.RGB_565),
            blank(8, 6).apply { recycle() },
        )
        for (into in unusable) assertFailsWith<EffectException> { effect.run(picture, into) }
    }

    @Test
    fun `recycled picture is refused`() {
        val picture = blank(8, 6).apply { recycle() }
        val problem = assertFailsWith<EffectException> { negative().run(picture) }
        assertEquals("the bitmap is recycled already", problem.message)
    }

    @Test
    fun `closed effect is refused, and closed twice`() {
        val effect = negative()
        effect.close()
        effect.close()
        val problem = assertFailsWith<EffectException> { effect.run(blank(8, 6)) }
        assertEquals("effect e is closed", problem.message)
    }

    @Test
    fun `what the engine throws is told in one line`() {
        val script = Script(atRun = { if (it > 3) throw IllegalStateException("device lost\nat 0x0") })
        val problem = assertFailsWith<EffectException> {
            val effect = open(ScriptedEngine(clock, mapOf("a" to script)), testBundle(scripted("a")))
            repeat(4) { effect.run(blank(8, 6)) }
        }
        assertEquals("effect e: a failed: IllegalStateException device lost", problem.message)
    }

    @Test
    fun `runs take turns, whatever threads they come from`() {
        val (inside, most) = AtomicInteger() to AtomicInteger()
        val script = Script(atRun = {
            most.accumulateAndGet(inside.incrementAndGet(), ::maxOf)
            Thread.sleep(2)
            inside.decrementAndGet()
        })
        val effect = open(ScriptedEngine(clock, mapOf("a" to script)), testBundle(scripted("a")))
        val runners = List(4) { thread { repeat(5) { effect.run(blank(8, 6)) } } }
        runners.forEach { it.join() }
        assertEquals(1, most.get())
    }

    @Test
    fun `closing waits for the run that is under way`() {
        val (isRunning, goOn) = CountDownLatch(1) to CountDownLatch(1)
        val script = Script(atRun = { if (it > 2) { isRunning.countDown(); goOn.await(60, TimeUnit.SECONDS) } })
        val engine = ScriptedEngine(clock, mapOf("a" to script))
        val effect = open(engine, testBundle(scripted("a")))
        val runner = thread { effect.run(blank(8, 6)) }
        assertTrue(isRunning.await(60, TimeUnit.SECONDS))
        val closer = thread { effect.close() }
        closer.join(50)
        assertTrue(closer.isAlive)
        assertEquals(emptyList(), engine.closed)
        goOn.countDown()
        listOf(runner, closer).forEach { it.join(60_000) }
        assertFalse(closer.isAlive)
        assertEquals(listOf("a"), engine.closed)
    }
}
