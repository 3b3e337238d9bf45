package pocketgan.effects

import android.content.res.AssetManager
import android.graphics.Color
import android.graphics.drawable.BitmapDrawable
import android.os.Looper
import android.view.ViewGroup
import android.widget.ImageView
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.test.assertEquals
import kotlin.test.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.GraphicsMode
import pocketgan.effects.example.PUBLIC_KEY
import pocketgan.effects.example.PosterActivity

private const val LONGEST_MS = 20_000L

/** The README's example, with a bundle and a picture among the app's assets. */
@RunWith(RobolectricTestRunner::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
class ExampleTest {
    private val context = RuntimeEnvironment.getApplication()

    /** Draws the negative, and as ink what it is given. */
    private fun pack(key: TestKey): ByteArray {
        val same = onnxModel("Identity", listOf(1, 3, HEIGHT, WIDTH))
        return testBundle(key = key, concepts = listOf(TestConcept("ink", model = { same }) { it }))
    }

    @Test
    fun `example shows the effect`() {
        val key = TestKey()
        PUBLIC_KEY = key.pem
        addAssets("assets/poster.pgb" to pack(key), "assets/photo.bmp" to photo())
        val activity = Robolectric.buildActivity(PosterActivity::class.java).setup().get()
        val view = activity.findViewById<ViewGroup>(android.R.id.content).getChildAt(0) as ImageView
        val limit = System.currentTimeMillis() + LONGEST_MS
        while (view.drawable == null && System.currentTimeMillis() < limit) {
            Thread.sleep(20)
            shadowOf(Looper.getMainLooper()).idle()
        }
        assertTrue(view.drawable is BitmapDrawable, "nothing was shown")
        assertEquals(Color.rgb(1, 2, 250), (view.drawable as BitmapDrawable).bitmap.getPixel(3, 3))
    }

    /** As an app's package has them, without the tool that makes one. */
    private fun addAssets(vararg assets: Pair<String, ByteArray>) {
        val packed = File(context.cacheDir, "assets.zip").apply { writeBytes(zipped(assets.toMap())) }
        val add = AssetManager::class.java.getMethod("addAssetPath", String::class.java)
        assertTrue(add.invoke(context.assets, packed.path) != 0)
    }

    /** A BMP file of 8x6 pixels of (1, 2, 250): header, then rows from below as blue, green, red. */
    private fun photo(): ByteArray {
        val header = ByteBuffer.allocate(54).order(ByteOrder.LITTLE_ENDIAN)
        header.put("BM".toByteArray()).putInt(54 + 8 * 6 * 3).putInt(0).putInt(54)
        header.putInt(40).putInt(8).putInt(6).putShort(1).putShort(24)
        return header.array() + ByteArray(8 * 6 * 3) { byteArrayOf(250.toByte(), 2, 1)[it % 3] }
    }
}
