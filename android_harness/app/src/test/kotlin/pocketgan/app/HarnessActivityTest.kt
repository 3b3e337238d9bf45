package pocketgan.app

import android.graphics.Bitmap
import android.graphics.Canvas
import android.os.Looper
import android.view.View
import android.view.WindowManager.LayoutParams
import android.widget.Button
import android.widget.TextView
import java.io.File
import java.time.Duration
import kotlin.test.assertEquals
import kotlin.test.assertTrue
import org.junit.After
import org.junit.Test
import org.junit.runner.RunWith
import org.pocketgan.harness.R
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode
import pocketgan.app.camera.KeepingScreen
import pocketgan.app.camera.Stage

private const val PHONE = "w411dp-h891dp-xhdpi"
private const val READABLE = 4.5 // WCAG 2.2, 1.4.3

@RunWith(RobolectricTestRunner::class)
@Config(qualifiers = PHONE)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class HarnessActivityTest {
    private val activity by lazy { Robolectric.buildActivity(HarnessActivity::class.java).setup().get() }

    @After
    fun forget() = Harness.end("", null)

    private fun text(view: Int): String = activity.findViewById<TextView>(view).text.toString()

    @Test
    fun `screen stays on`() {
        assertTrue(activity.window.attributes.flags and LayoutParams.FLAG_KEEP_SCREEN_ON != 0)
    }

    @Test
    fun `folder for sessions is there once the app was opened`() {
        assertTrue(File(activity.getExternalFilesDir(null), "sessions").isDirectory)
    }

    @Test
    fun `what is measured is shown and followed`() {
        Harness.begin("s1")
        Harness.progress("s1", "facades onnx", 17)
        assertEquals("facades onnx", text(R.id.detail))
        assertEquals("17", text(R.id.done))
        Harness.progress("s1", "facades onnx", 40)
        shadowOf(Looper.getMainLooper()).idleFor(Duration.ofSeconds(1))
        assertEquals("40", text(R.id.done))
    }

    @Test
    fun `why it ended is shown`() {
        Harness.begin("s1")
        Harness.end("s1", "session.json is not valid")
        assertEquals("s1: session.json is not valid", text(R.id.detail))
        assertEquals(View.GONE, activity.findViewById<View>(R.id.cancel).visibility)
    }

    @Test
    fun `cancel button asks the session to end`() {
        Harness.begin("s1")
        activity.findViewById<Button>(R.id.cancel).performClick()
        assertEquals("Cancelling", text(R.id.heading))
        assertEquals(Doing.Cancelling("s1"), Harness.doing)
    }

    @Test
    fun `a Job of mode camera gets room for its pictures, and leaves it`() {
        val picture = activity.findViewById<View>(R.id.picture)
        assertEquals(View.GONE, picture.visibility)
        val screen = KeepingScreen()
        Stage.put(screen)
        Stage.enter(0)
        shadowOf(Looper.getMainLooper()).idleFor(Duration.ofSeconds(1))
        assertEquals(View.VISIBLE, picture.visibility)
        Stage.leave()
        Stage.remove(screen)
        shadowOf(Looper.getMainLooper()).idleFor(Duration.ofSeconds(1))
        assertEquals(View.GONE, picture.visibility)
    }

    @Test
    fun `effect screen is one touch away, but not from a measurement`() {
        activity.findViewById<Button>(R.id.effect).performClick()
        assertEquals(EffectActivity::class.java.name, shadowOf(activity).nextStartedActivity.component!!.className)
        Harness.begin("s1")
        shadowOf(Looper.getMainLooper()).idleFor(Duration.ofSeconds(1))
        assertEquals(View.GONE, activity.findViewById<View>(R.id.effect).visibility)
    }

    @Test
    fun `every text is readable by day`() = mustBeReadable("measuring-light.png")

    @Test
    @Config(qualifiers = "+night")
    fun `every text is readable by night`() = mustBeReadable("measuring-dark.png")

    private fun mustBeReadable(screenshot: String) {
        Harness.begin("s1")
        Harness.progress("s1", "facades-student onnx-fp32", 128)
        val picture = drawn(activity.window.decorView)
        val folder = File(System.getProperty("screenshots")!!).apply { mkdirs() }
        File(folder, screenshot).outputStream().use { picture.compress(Bitmap.CompressFormat.PNG, 100, it) }
        val page = luminance(picture.getPixel(picture.width / 2, picture.height / 8))
        for (id in listOf(R.id.heading, R.id.detail, R.id.done, R.id.hint)) {
            val ink = luminance(activity.findViewById<TextView>(id).currentTextColor)
            val contrast = (maxOf(page, ink) + 0.05) / (minOf(page, ink) + 0.05)
            assertTrue(contrast >= READABLE, "contrast $contrast")
        }
    }

    private fun drawn(view: View): Bitmap =
        Bitmap.createBitmap(view.width, view.height, Bitmap.Config.ARGB_8888).also { view.draw(Canvas(it)) }

    private fun luminance(color: Int): Double = android.graphics.Color.luminance(color).toDouble()
}
