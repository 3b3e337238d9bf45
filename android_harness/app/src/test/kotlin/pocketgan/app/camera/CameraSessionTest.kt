package pocketgan.app.camera

import android.app.Application
import android.graphics.Bitmap
import java.io.File
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertTrue
import org.junit.After
import org.junit.Assume.assumeTrue
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.GraphicsMode
import pocketgan.app.STACK_BYTES
import pocketgan.app.carryOut
import pocketgan.measure.Cancellation
import pocketgan.schema.Result
import pocketgan.schema.readResult

/** A session with a Job of mode camera, which pytest writes and whose results it judges (tests/android_harness/test_camera.py). */
@RunWith(RobolectricTestRunner::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class CameraSessionTest {
    private val context: Application = RuntimeEnvironment.getApplication()
    private val screen = KeepingScreen()

    @After
    fun leave() {
        Stage.remove(screen)
        Frames.source = ::Camera2Source
    }

    private fun results(): List<Result> {
        val made = System.getProperty("session")
        assumeTrue("no session was made", made != null)
        val folder = File(made!!)
        File(folder, "results.jsonl").delete()
        Thread(null, { carryOut(context, folder.toPath(), "s", Cancellation()) }, "session", STACK_BYTES).run {
            start()
            join()
        }
        return File(folder, "results.jsonl").readLines().filter { "\"record\":\"result\"" in it }
            .map { readResult(it.replaceFirst("\"record\":\"result\",", "")) }
    }

    @Test
    fun `a phone without permission answers every camera Job with what to do`() {
        Stage.put(screen)
        val errors = results().map { it.errors.single() }
        assertTrue(errors.isNotEmpty() && errors.all { "pm grant org.pocketgan.harness" in it }, "$errors")
    }

    @Test
    fun `frames of a camera Job go from the sensor to the screen`() {
        Frames.source = { PhotoSource(Bitmap.createBitmap(64, 48, Bitmap.Config.ARGB_8888)) }
        Stage.put(screen)
        for (result in results()) {
            assertEquals(emptyList(), result.errors)
            assertTrue(result.frames.all { it.displayNs!! > it.captureNs!! })
            assertTrue("photo; kept" in result.placement!!.observed!!)
            assertTrue(result.droppedFrames!! >= 0)
        }
        assertTrue(screen.shown > 0)
    }
}
