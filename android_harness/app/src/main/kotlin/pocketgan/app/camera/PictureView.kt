package pocketgan.app.camera

import android.content.Context
import android.graphics.Bitmap
import android.graphics.Paint
import android.graphics.Rect
import android.util.AttributeSet
import android.view.SurfaceHolder
import android.view.SurfaceView
import pocketgan.camera.DisplayTime
import pocketgan.camera.DisplayTimes

/** How long a display may take to tell of the last picture. */
private const val LAST_PICTURE_NS = 700_000_000L

/** What shows pictures as they are made, from a thread that is not the main one. */
internal interface PictureScreen {
    /** Begin to count pictures from 0. */
    fun begin(): Showing

    /** How far the screen is turned from the phone's natural position, in degrees. */
    val degrees: Int
}

/** Pictures that are shown one after the other, until [close]. */
internal interface Showing : java.io.Closeable {
    /** How their display times come to be, in one line for people. */
    val about: String

    /** Show the picture; false if the screen is gone. It may be changed when this returns. */
    fun show(number: Int, picture: Bitmap): Boolean

    /** When the first [count] were on the screen. */
    fun displayTimes(count: Int): List<DisplayTime?>
}

/**
 * A square for pictures, as large as there is room. Its surface has the pictures' own size, which the display scales
 * for nothing; they are copied there by the processor, so that the moment at which each is handed over is known.
 */
internal class PictureView(context: Context, attributes: AttributeSet? = null) :
    SurfaceView(context, attributes), PictureScreen, SurfaceHolder.Callback {
    /** Told on the main thread whether there is a surface now. */
    var whenThere: (Boolean) -> Unit = {}

    @Volatile
    private var isThere = false
    private val paint = Paint(Paint.FILTER_BITMAP_FLAG)
    private val whole = Rect()

    init {
        holder.addCallback(this)
    }

    override val degrees: Int get() = 90 * (display?.rotation ?: 0)

    override fun begin(): Showing = Pictures()

    override fun onMeasure(width: Int, height: Int) {
        val sides = listOf(width, height).filter { MeasureSpec.getMode(it) != MeasureSpec.UNSPECIFIED }.map(MeasureSpec::getSize)
        val side = MeasureSpec.makeMeasureSpec(sides.minOrNull() ?: 0, MeasureSpec.EXACTLY)
        super.onMeasure(side, side)
    }

    override fun surfaceCreated(holder: SurfaceHolder) {
        isThere = true
        whenThere(true)
    }

    override fun surfaceChanged(holder: SurfaceHolder, format: Int, width: Int, height: Int) = Unit

    override fun surfaceDestroyed(holder: SurfaceHolder) {
        isThere = false
        whenThere(false)
    }

    private inner class Pictures : Showing {
        private val times = DisplayTimes()
        private val clock = displayClock(this@PictureView, times)
        private var size = 0 to 0

        override val about get() = clock.about

        override fun show(number: Int, picture: Bitmap): Boolean {
            if (!isThere) return false
            if (size != picture.width to picture.height) {
                size = picture.width to picture.height
                post { holder.setFixedSize(picture.width, picture.height) }
            }
            // Null where the surface went away between the two looks.
            val canvas = holder.lockCanvas() ?: return false
            whole.set(0, 0, canvas.width, canvas.height)
            canvas.drawBitmap(picture, null, whole, paint)
            clock.posting(number)
            holder.unlockCanvasAndPost(canvas)
            clock.posted(number, System.nanoTime())
            return true
        }

        override fun displayTimes(count: Int) = times.await(count, LAST_PICTURE_NS)

        override fun close() = clock.close()
    }
}
